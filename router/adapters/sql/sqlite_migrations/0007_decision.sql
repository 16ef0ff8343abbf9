-- Why a call went where it went, in JSON, where there was a choice; and `asked->served;reason` where another model served.
ALTER TABLE calls ADD COLUMN decision TEXT;
ALTER TABLE calls ADD COLUMN substituted TEXT;
