-- Peers that an operator keeps out. Losing this table lets them in again, and nothing else.
CREATE TABLE ban (
  peer TEXT PRIMARY KEY, member TEXT, at_us INTEGER NOT NULL, until_us INTEGER, reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
