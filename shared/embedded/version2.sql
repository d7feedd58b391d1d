CREATE TABLE slow_messages (
	id            INTEGER PRIMARY KEY,
	body          TEXT NOT NULL,
	receives      INTEGER NOT NULL,
	visible       INTEGER, -- as of the others; what is due becomes NULL before it is taken
	message_group TEXT NOT NULL
);
CREATE INDEX slow_visible ON slow_messages (visible) WHERE visible IS NOT NULL;
CREATE INDEX slow_ready ON slow_messages (message_group, id) WHERE visible IS NULL;
CREATE TABLE slow_dead (
	id            INTEGER PRIMARY KEY,
	body          TEXT NOT NULL,
	died          INTEGER NOT NULL,
	message_group TEXT NOT NULL
);
INSERT INTO queues VALUES ('slow', 0, 0, 0, 0);
