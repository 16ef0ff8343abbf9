-- The fault that would have refused the call, had its key not only been observed.
ALTER TABLE calls ADD COLUMN would_refuse TEXT;
