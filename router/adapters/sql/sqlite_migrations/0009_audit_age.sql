-- The oldest changes are deleted by age, a few at a time.
CREATE INDEX audit_by_age ON audit (at_ns);
