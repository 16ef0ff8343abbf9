-- Where the provider keeps a reply that later calls may build on: a JSON array of its id, deployment, provider, credential.
ALTER TABLE calls ADD COLUMN stored TEXT;
CREATE INDEX calls_by_stored_id ON calls (json_extract(stored, '$[0]')) WHERE stored IS NOT NULL;
