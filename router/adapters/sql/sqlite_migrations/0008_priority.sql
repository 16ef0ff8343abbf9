-- The priority class of a call; NULL: it was refused before it had one, or was never settled.
ALTER TABLE calls ADD COLUMN priority TEXT;
