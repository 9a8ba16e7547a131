-- Open ends of mirrored ledgers beside the node's own (place 0), and keyed promise rows (rules R1, R3, R4, R8, R10).
ALTER TABLE tail RENAME TO tail_v1;
CREATE TABLE tail (place INTEGER NOT NULL, start INTEGER NOT NULL, leaves BLOB NOT NULL, bundle BLOB NOT NULL, UNIQUE (place, start)) STRICT;
INSERT INTO tail SELECT 0, start, leaves, bundle FROM tail_v1;
DROP TABLE tail_v1;
ALTER TABLE edge RENAME TO edge_v1;
CREATE TABLE edge (place INTEGER NOT NULL, level INTEGER NOT NULL, tile INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (place, level, tile)) STRICT, WITHOUT ROWID;
INSERT INTO edge SELECT 0, level, tile, hashes FROM edge_v1;
DROP TABLE edge_v1;
CREATE TABLE keyed (kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, sum BLOB NOT NULL, PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;
