-- Private payloads, each sealed with its own key; erasing deletes the row and with it the key.
CREATE TABLE payload (id BLOB PRIMARY KEY, entry INTEGER NOT NULL, key BLOB NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX payload_entry ON payload (entry);
-- The ledger's size before the newest step that stored payloads: a ledger that is smaller was rolled back.
CREATE TABLE step (one INTEGER PRIMARY KEY CHECK (one = 1), base INTEGER NOT NULL) STRICT;
