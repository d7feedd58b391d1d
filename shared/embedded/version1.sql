CREATE TABLE rows (
	tbl     INTEGER NOT NULL, -- place in tables
	pk      TEXT NOT NULL,
	sk      TEXT NOT NULL,
	rev     TEXT NOT NULL,
	data    BLOB,
	body    BLOB,
	due     INTEGER, -- Unix milliseconds
	shard   INTEGER, -- of the due index
	open    INTEGER, -- 1 or NULL
	expires INTEGER, -- Unix seconds
	PRIMARY KEY (tbl, pk, sk)
);
CREATE INDEX rows_due ON rows (shard, due, tbl, pk, sk) WHERE due IS NOT NULL;
CREATE INDEX rows_open ON rows (tbl, pk, sk, expires) WHERE open = 1;
CREATE INDEX rows_expires ON rows (expires) WHERE expires IS NOT NULL;

CREATE TABLE queues (
	name   TEXT PRIMARY KEY,
	since  INTEGER NOT NULL, -- messages after this id and up to handed
	handed INTEGER NOT NULL, -- may have been received, though no mark says so
	total  INTEGER NOT NULL, -- messages, dead ones excepted
	dead   INTEGER NOT NULL
);
CREATE TABLE events_messages (
	id       INTEGER PRIMARY KEY, -- in the order of sending
	body     TEXT NOT NULL,
	receives INTEGER NOT NULL,
	visible  INTEGER -- Unix milliseconds; NULL: at once
);
CREATE INDEX events_visible ON events_messages (visible) WHERE visible IS NOT NULL;
CREATE TABLE events_dead (
	id   INTEGER PRIMARY KEY,
	body TEXT NOT NULL,
	died INTEGER NOT NULL -- Unix seconds
);
CREATE TABLE retry_messages (
	id       INTEGER PRIMARY KEY,
	body     TEXT NOT NULL,
	receives INTEGER NOT NULL,
	visible  INTEGER
);
CREATE INDEX retry_visible ON retry_messages (visible) WHERE visible IS NOT NULL;
CREATE TABLE retry_dead (
	id   INTEGER PRIMARY KEY,
	body TEXT NOT NULL,
	died INTEGER NOT NULL
);
INSERT INTO queues VALUES ('events', 0, 0, 0, 0), ('retry', 0, 0, 0, 0);
