CREATE TABLE IF NOT EXISTS tenants (
	-- The id is the beginning of the tenant's opaque tokens, up to a "_". So it has no "_".
	id         TEXT PRIMARY KEY CHECK (id <> '' AND id NOT GLOB '*[^a-z0-9-]*'),
	host       TEXT NOT NULL UNIQUE CHECK (host = lower(host)),
	issuer     TEXT NOT NULL UNIQUE,
	introspect TEXT NOT NULL DEFAULT '',
	client_id  TEXT NOT NULL DEFAULT '',
	secret     BLOB NOT NULL DEFAULT x'' -- encrypted
);

-- The rows belong to an issuer, not to an id or a host, which another tenant may get later.
CREATE TABLE IF NOT EXISTS notes (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	issuer TEXT NOT NULL,
	by     TEXT NOT NULL,
	text   TEXT NOT NULL
);

-- The version counts the changes of the tenants, whatever program makes them. A column
-- updated_at would not do, because a row that was removed has none.
CREATE TABLE IF NOT EXISTS version (n INTEGER NOT NULL);
INSERT INTO version SELECT 1 WHERE NOT EXISTS (SELECT * FROM version);
CREATE TRIGGER IF NOT EXISTS tenants_added AFTER INSERT ON tenants BEGIN UPDATE version SET n = n + 1; END;
CREATE TRIGGER IF NOT EXISTS tenants_changed AFTER UPDATE ON tenants BEGIN UPDATE version SET n = n + 1; END;
CREATE TRIGGER IF NOT EXISTS tenants_removed AFTER DELETE ON tenants BEGIN UPDATE version SET n = n + 1; END;
