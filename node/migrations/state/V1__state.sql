-- Operational data: proves nothing, may be lost.
CREATE TABLE token (
  id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, scope TEXT NOT NULL, tenant TEXT,
  created_us INTEGER NOT NULL, expires_us INTEGER, revoked_us INTEGER
) STRICT, WITHOUT ROWID;
