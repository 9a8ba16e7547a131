-- Promises: nothing in this file may be lost. Sums are SHA-256 over the row (rules, R10).
CREATE TABLE record (name TEXT PRIMARY KEY, value BLOB NOT NULL, sum BLOB NOT NULL) STRICT, WITHOUT ROWID;
-- Runs of entries above the flushed index; a run never crosses a bundle's border. The tree itself checks them.
CREATE TABLE tail (start INTEGER PRIMARY KEY, leaves BLOB NOT NULL, bundle BLOB NOT NULL) STRICT;
-- Tiles of level 1 and more that are not in files yet. The tree itself checks them.
CREATE TABLE edge (level INTEGER NOT NULL, tile INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, tile)) STRICT, WITHOUT ROWID;
CREATE TABLE digest (size INTEGER PRIMARY KEY, note TEXT NOT NULL, sum BLOB NOT NULL) STRICT;
-- Idempotency ids; every row repeats what a leaf says, so that it can be checked and rebuilt.
CREATE TABLE idem (id BLOB PRIMARY KEY, entry INTEGER NOT NULL, content BLOB NOT NULL, expires_us INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX idem_expires ON idem (expires_us) WHERE expires_us IS NOT NULL;
-- Erased payloads; done is 1 once the key is destroyed.
CREATE TABLE erased (payload BLOB PRIMARY KEY, entry INTEGER NOT NULL, done INTEGER NOT NULL, sum BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX erased_open ON erased (done) WHERE done = 0;
