/* SQLite: the scripts that create the tables of tables.def.  A change is a
 * new script after the last one, never an edit, because databases have run
 * these. */
#include "server-stub/store/sqlite/file.h"

const char *const flo_sqlite_schema[] = {
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE device ("
    " id TEXT PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL,"
    " profile TEXT NOT NULL, groups TEXT NOT NULL,"
    " reported TEXT NOT NULL DEFAULT '', online INTEGER NOT NULL DEFAULT 0,"
    " retired INTEGER NOT NULL DEFAULT 0, enrolled_at INTEGER NOT NULL,"
    " seen_at INTEGER NOT NULL DEFAULT 0, rss INTEGER NOT NULL DEFAULT 0"
    ") WITHOUT ROWID;"
    "CREATE UNIQUE INDEX device_name ON device(name) WHERE retired = 0;"
    "CREATE TABLE device_group (grp TEXT NOT NULL, device TEXT NOT NULL,"
    " PRIMARY KEY (grp, device)) WITHOUT ROWID;"
    "CREATE INDEX device_group_device ON device_group(device);"
    "CREATE TABLE desired (device TEXT PRIMARY KEY, rev INTEGER NOT NULL,"
    " ord TEXT NOT NULL DEFAULT '') WITHOUT ROWID;"
    "CREATE INDEX desired_order ON desired(ord);"
    "CREATE TABLE event (id INTEGER PRIMARY KEY, device TEXT NOT NULL,"
    " boot TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,"
    " received_at INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE UNIQUE INDEX event_seq ON event(device, boot, seq);"
    "CREATE TABLE event_mark (device TEXT NOT NULL, boot TEXT NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY (device, boot)) WITHOUT ROWID;"
    "CREATE TABLE release (model TEXT NOT NULL, version TEXT NOT NULL,"
    " number INTEGER NOT NULL, digest TEXT NOT NULL UNIQUE,"
    " state TEXT NOT NULL, body TEXT NOT NULL, bytes INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, PRIMARY KEY (model, version))"
    " WITHOUT ROWID;"
    "CREATE TABLE rollout (id TEXT PRIMARY KEY, spec TEXT NOT NULL,"
    " state TEXT NOT NULL, core TEXT NOT NULL, digest TEXT NOT NULL,"
    " created_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE member (rollout TEXT NOT NULL, device TEXT NOT NULL,"
    " bucket INTEGER NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,"
    " silent INTEGER NOT NULL, back INTEGER NOT NULL,"
    " since_at INTEGER NOT NULL, error TEXT, detail TEXT,"
    " PRIMARY KEY (rollout, device)) WITHOUT ROWID;"
    "CREATE TABLE ord (id TEXT PRIMARY KEY, op TEXT NOT NULL,"
    " grp TEXT NOT NULL, envelope TEXT NOT NULL, body TEXT NOT NULL,"
    " rollout TEXT NOT NULL, release TEXT NOT NULL, phase INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, issued_at INTEGER NOT NULL,"
    " expires_at INTEGER NOT NULL, tracked INTEGER NOT NULL,"
    " release_bytes INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX ord_group ON ord(grp, expires_at);"
    "CREATE INDEX ord_rollout ON ord(rollout, op, phase, seq);"
    "CREATE TABLE outcome (ord TEXT NOT NULL, device TEXT NOT NULL,"
    " outcome INTEGER NOT NULL, took INTEGER NOT NULL,"
    " PRIMARY KEY (ord, device)) WITHOUT ROWID;"
    "CREATE INDEX outcome_awaited ON outcome(device) WHERE outcome < 2;"
    "CREATE TABLE token (id TEXT PRIMARY KEY, kind TEXT NOT NULL,"
    " name TEXT NOT NULL, role TEXT NOT NULL, grp TEXT NOT NULL,"
    " secret BLOB NOT NULL, uses INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE UNIQUE INDEX token_secret ON token(secret);"
    "CREATE TABLE replay (token TEXT NOT NULL, key TEXT NOT NULL,"
    " request BLOB NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,"
    " at INTEGER NOT NULL, PRIMARY KEY (token, key)) WITHOUT ROWID;"
    "CREATE TABLE audit (n INTEGER PRIMARY KEY, at INTEGER NOT NULL,"
    " who TEXT NOT NULL, what TEXT NOT NULL, object TEXT NOT NULL,"
    " result TEXT NOT NULL, detail TEXT NOT NULL, previous BLOB NOT NULL,"
    " hash BLOB NOT NULL);",
    "CREATE INDEX event_device ON event(device, id);",
    "ALTER TABLE ord ADD COLUMN desired_only INTEGER NOT NULL DEFAULT 0;",
    "CREATE INDEX ord_seq ON ord(seq);"
    "CREATE INDEX ord_expires ON ord(expires_at);"
    "CREATE INDEX ord_tracked ON ord(seq) WHERE tracked = 1;"
    "CREATE INDEX member_accepted ON member(rollout)"
    " WHERE state = 'accepted';",
    /* A release is stored as its signed body; devices fetch the envelope, which
     * is stored in a table of its own. */
    "CREATE TABLE envelope (release TEXT PRIMARY KEY, text TEXT NOT NULL)"
    " WITHOUT ROWID;",
    "ALTER TABLE member ADD COLUMN away INTEGER NOT NULL DEFAULT 0;",
    /* Columns for emergencies: the time from the order's issue to the answer,
     * and the reason of a refusal. */
    "ALTER TABLE outcome ADD COLUMN heard INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE outcome ADD COLUMN error TEXT NOT NULL DEFAULT '';",
    /* Index for readiness checks and enrolments, which count devices.  Without
     * it, counting reads all reports. */
    "CREATE INDEX device_count ON device(retired, online);",
    "CREATE INDEX ord_listed ON ord(op, seq) WHERE desired_only = 0;"
    "CREATE INDEX ord_release ON ord(release, op, seq);",
    "ALTER TABLE device ADD COLUMN drifts INTEGER NOT NULL DEFAULT 0;"
    "DROP INDEX device_count;"
    "CREATE INDEX device_count ON device(retired, online, drifts);",
    /* Adds a column for each value by which queries select. */
    "ALTER TABLE device ADD COLUMN serving TEXT NOT NULL DEFAULT '';"
    "UPDATE device SET serving = coalesce(CASE WHEN json_valid(reported)"
    " THEN json_extract(reported, '$.serving.model') || '@' ||"
    " json_extract(reported, '$.serving.version') END, '');"
    "ALTER TABLE rollout ADD COLUMN number INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE rollout ADD COLUMN grp TEXT NOT NULL DEFAULT 'all';"
    "ALTER TABLE rollout ADD COLUMN active INTEGER NOT NULL DEFAULT 0;"
    "UPDATE rollout SET number = CAST(substr(id, 3) AS INTEGER),"
    " grp = coalesce(json_extract(spec, '$.group'), 'all'),"
    " active = CASE state"
#define FLO_ROLLOUT_STATE(name, word, is_active, meaning, next) " WHEN '" word "' THEN " #is_active
#include "server-stub/core/rollout/rollout_states.def"
    " ELSE 0 END;"
    "CREATE INDEX rollout_order ON rollout(active, number);"
    "ALTER TABLE member ADD COLUMN bad INTEGER NOT NULL DEFAULT 0;"
    "UPDATE member SET bad = silent > 0"
    " OR state IN ('rejected', 'failed', 'timed-out', 'rolled-back');"
    "ALTER TABLE outcome ADD COLUMN reason TEXT NOT NULL DEFAULT '';"
    "UPDATE outcome SET reason = coalesce(CASE WHEN json_valid(error)"
    " THEN json_extract(error, '$.id') END, '');"
    "ALTER TABLE ord ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0;"
    "UPDATE ord SET superseded = EXISTS (SELECT 1 FROM ord AS newer"
    " WHERE newer.rollout = ord.rollout AND newer.op = ord.op"
    " AND newer.phase = ord.phase AND newer.seq > ord.seq"
    " AND newer.grp = ord.grp AND newer.release = ord.release);"
    "CREATE INDEX ord_newest ON ord(rollout, op, phase, grp, release)"
    " WHERE superseded = 0;",
    /* A device has an order for each model, and reports its models. */
    "ALTER TABLE ord ADD COLUMN model TEXT NOT NULL DEFAULT '';"
    "UPDATE ord SET model = coalesce(CASE WHEN json_valid(body)"
    " THEN json_extract(body, '$.args.model') END, (SELECT release.model"
    " FROM rollout JOIN release ON release.digest = rollout.digest"
    " WHERE rollout.id = ord.rollout), '');"
    "DROP INDEX ord_listed;"
    "CREATE INDEX ord_listed ON ord(model, op, seq) WHERE desired_only = 0;"
    "CREATE TABLE assignment (device TEXT NOT NULL, model TEXT NOT NULL,"
    " ord TEXT NOT NULL, PRIMARY KEY (device, model)) WITHOUT ROWID;"
    "CREATE INDEX assignment_order ON assignment(ord);"
    "INSERT INTO assignment SELECT desired.device, ord.model, ord.id"
    " FROM desired JOIN ord ON ord.id = desired.ord WHERE ord.model <> '';"
    "DROP INDEX desired_order;"
    "ALTER TABLE desired DROP COLUMN ord;"
    "CREATE TABLE device_model (device TEXT NOT NULL, model TEXT NOT NULL,"
    " serving TEXT NOT NULL, PRIMARY KEY (device, model)) WITHOUT ROWID;"
    "CREATE INDEX device_model_model ON device_model(model);"
    "CREATE INDEX device_model_serving ON device_model(serving);"
    "INSERT INTO device_model SELECT id,"
    " substr(serving, 1, instr(serving, '@') - 1), serving"
    " FROM device WHERE instr(serving, '@') > 1;"
    "ALTER TABLE device DROP COLUMN serving;",
    "CREATE TABLE report (ord TEXT PRIMARY KEY, device TEXT NOT NULL,"
    " op TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX report_device ON report(device, at);",
    /* Moves devices to a table with row ids.  Rows of a kilobyte in a table
     * WITHOUT ROWID filled the index's pages with three rows each, and the tree
     * was eight levels deep. */
    "CREATE TABLE device_rows ("
    " id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL,"
    " online INTEGER NOT NULL DEFAULT 0, retired INTEGER NOT NULL DEFAULT 0,"
    " drifts INTEGER NOT NULL DEFAULT 0, enrolled_at INTEGER NOT NULL,"
    " seen_at INTEGER NOT NULL DEFAULT 0, rss INTEGER NOT NULL DEFAULT 0,"
    " labels TEXT NOT NULL, groups TEXT NOT NULL, profile TEXT NOT NULL,"
    " reported TEXT NOT NULL DEFAULT '');"
    "INSERT INTO device_rows SELECT id, name, online, retired, drifts,"
    " enrolled_at, seen_at, rss, labels, groups, profile, reported"
    " FROM device ORDER BY id;"
    "DROP TABLE device;"
    "ALTER TABLE device_rows RENAME TO device;"
    "CREATE UNIQUE INDEX device_name ON device(name) WHERE retired = 0;"
    "CREATE INDEX device_count ON device(retired, online, drifts);",
    "ALTER TABLE member ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;",
    "ALTER TABLE device ADD COLUMN note TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE device ADD COLUMN maintenance TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE device ADD COLUMN pins TEXT NOT NULL DEFAULT '';",
    /* Table for the evidence by which statistical gates were judged. */
    "ALTER TABLE member ADD COLUMN segment INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE evidence (rollout TEXT NOT NULL, n INTEGER NOT NULL,"
    " at INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (rollout, n));"
    "CREATE INDEX evidence_at ON evidence(at);",
    "CREATE TABLE trust_statement (number INTEGER PRIMARY KEY,"
    " envelope TEXT NOT NULL, at INTEGER NOT NULL);"
    "CREATE TABLE emergency (id TEXT PRIMARY KEY, op TEXT NOT NULL,"
    " envelope TEXT NOT NULL, seq INTEGER NOT NULL,"
    " expires_at INTEGER NOT NULL, heard_at INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX emergency_seq ON emergency(seq);"
    "ALTER TABLE device ADD COLUMN trust INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX device_trust ON device(retired, trust);",
    "ALTER TABLE token ADD COLUMN person TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE token ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE person (name TEXT PRIMARY KEY, role TEXT NOT NULL,"
    " disabled INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL)"
    " WITHOUT ROWID;",
    "ALTER TABLE device_group ADD COLUMN since INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE fleet_group (name TEXT PRIMARY KEY,"
    " selector TEXT NOT NULL, priority INTEGER NOT NULL, note TEXT NOT NULL,"
    " created_at INTEGER NOT NULL, ends INTEGER NOT NULL DEFAULT 0)"
    " WITHOUT ROWID;"
    "INSERT INTO fleet_group SELECT DISTINCT grp, '', 100, '', 0, 0"
    " FROM device_group WHERE grp <> 'all';"
    "ALTER TABLE desired ADD COLUMN groups TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE desired ADD COLUMN statement TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE desired ADD COLUMN stated_at INTEGER NOT NULL DEFAULT 0;",
    "CREATE TABLE certificate (serial TEXT PRIMARY KEY, device TEXT NOT NULL,"
    " authority TEXT NOT NULL, state TEXT NOT NULL,"
    " issued_at INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX certificate_device ON certificate(device, issued_at);"
    "CREATE INDEX certificate_until ON certificate(state, until);",
    /* Tables of alert rules, alerts and webhooks, and of messages about
     * alerts. */
    "CREATE TABLE watch (kind TEXT NOT NULL, id TEXT NOT NULL,"
    " body TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;"
    "CREATE TABLE delivery (n INTEGER PRIMARY KEY, target TEXT NOT NULL,"
    " state TEXT NOT NULL, body TEXT NOT NULL, error TEXT NOT NULL,"
    " failed INTEGER NOT NULL, next_at INTEGER NOT NULL,"
    " at INTEGER NOT NULL);"
    "CREATE INDEX delivery_due ON delivery(state, next_at);"
    "CREATE INDEX delivery_target ON delivery(target, n);",
    /* Certificates are looked up by device.  SQLite would use an index that
     * begins with the state instead, and list the whole fleet. */
    "DROP INDEX certificate_until;"
    "CREATE INDEX certificate_until ON certificate(until, state);",
    "CREATE TABLE offer (device TEXT NOT NULL, release TEXT NOT NULL,"
    " PRIMARY KEY (device, release)) WITHOUT ROWID;"
    "INSERT INTO offer SELECT DISTINCT assignment.device, ord.release"
    " FROM assignment JOIN ord ON ord.id = assignment.ord"
    " WHERE ord.op = 'deploy';"
    "CREATE TABLE artifact (digest TEXT NOT NULL, release TEXT NOT NULL,"
    " PRIMARY KEY (digest, release)) WITHOUT ROWID;"
    "INSERT OR IGNORE INTO artifact SELECT part.value, release.digest"
    " FROM release, json_tree(release.body, '$.files') AS part"
    " WHERE json_valid(release.body) AND part.key IN ('digest', 'base')"
    " AND part.type = 'text';",
    "ALTER TABLE device ADD COLUMN replaces TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE device ADD COLUMN replaced_by TEXT NOT NULL DEFAULT '';",
    "CREATE TABLE claim (serial TEXT PRIMARY KEY, body TEXT NOT NULL,"
    " device TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;",
    /* Adds the key of a certificate, with which its device proves messages. */
    "ALTER TABLE certificate ADD COLUMN key TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE certificate ADD COLUMN proved TEXT NOT NULL DEFAULT '';",
    /* Adds the seals of rows that grant rights. */
    "ALTER TABLE token ADD COLUMN seal TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE person ADD COLUMN seal TEXT NOT NULL DEFAULT '';",
    /* The keyring, for controllers that share a database; else the table is
     * empty. */
    "CREATE TABLE keyring (number INTEGER PRIMARY KEY, digest TEXT NOT NULL,"
    " body TEXT NOT NULL);",
    /* Reason of an order, because the signed text has it only for rollbacks. */
    "ALTER TABLE ord ADD COLUMN reason TEXT NOT NULL DEFAULT '';",
    /* Table of the audit's signed heads, for controllers that share a
     * database. */
    "CREATE TABLE audit_line (n INTEGER PRIMARY KEY, text TEXT NOT NULL);",
    /* Marks members of slices that no longer get the release. */
    "ALTER TABLE member ADD COLUMN held INTEGER NOT NULL DEFAULT 0;",
    /* Progress of orders whose device rows are being made. */
    "CREATE TABLE making (ord TEXT PRIMARY KEY, seq INTEGER NOT NULL,"
    " grp TEXT NOT NULL, made TEXT NOT NULL, devices INTEGER NOT NULL,"
    " n INTEGER NOT NULL) WITHOUT ROWID;",
    /* Adds the numbers of an event's outbox, and of the form that the event
     * shares with others (calls/forms.c). */
    "INSERT OR IGNORE INTO event_mark SELECT device, boot, max(seq)"
    " FROM event GROUP BY device, boot;"
    "CREATE TABLE event_marks (device TEXT NOT NULL, boot TEXT NOT NULL,"
    " seq INTEGER NOT NULL, book INTEGER NOT NULL, outbox INTEGER NOT NULL,"
    " PRIMARY KEY (device, boot)) WITHOUT ROWID;"
    "INSERT INTO event_marks SELECT device, boot, seq,"
    " min(n) OVER (PARTITION BY device), n FROM (SELECT device, boot, seq,"
    " row_number() OVER (ORDER BY device, boot) AS n FROM event_mark);"
    "DROP TABLE event_mark;"
    "ALTER TABLE event_marks RENAME TO event_mark;"
    "INSERT INTO counter SELECT 'outbox', many FROM"
    " (SELECT count(*) AS many FROM event_mark) WHERE many > 0;"
    "CREATE TABLE event_form (number INTEGER PRIMARY KEY, text TEXT NOT NULL);"
    "CREATE TABLE event_rows (id INTEGER PRIMARY KEY, book INTEGER NOT NULL,"
    " outbox INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,"
    " received_at INTEGER NOT NULL, form INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE TEMP TABLE old_form (id INTEGER PRIMARY KEY, text TEXT);"
    "INSERT INTO old_form SELECT event.id, CASE"
    " WHEN json_valid(json) AND json_type(json) = 'object'"
    " AND json_extract(json, '$.seq') = event.seq"
    " AND json_extract(json, '$.boot') = event.boot"
    " AND json_extract(json, '$.at_ms') = event.at AND event.at > 0"
    " AND length(json) < 640 AND json_type(json, '$.type') = 'text'"
    " AND json_remove(json, '$.type', '$.execution', '$.rollout', '$.phase',"
    " '$.order', '$.model', '$.release', '$.version', '$.state', '$.end',"
    " '$.v', '$.from', '$.boot', '$.seq', '$.at_ms') = '{}'"
    " THEN json_remove(json, '$.from', '$.boot', '$.seq', '$.at_ms')"
    " END AS text FROM event;"
    "INSERT INTO event_form (text) SELECT DISTINCT text FROM old_form"
    " WHERE text IS NOT NULL;"
    "INSERT INTO counter SELECT 'form', last FROM"
    " (SELECT max(number) AS last FROM event_form) WHERE last > 0;"
    "CREATE UNIQUE INDEX event_form_text ON event_form(text);"
    "INSERT INTO event_rows SELECT event.id, event_mark.book,"
    " event_mark.outbox, event.seq, event.at, event.received_at,"
    " coalesce(event_form.number, 0), CASE WHEN event_form.number IS NULL"
    " THEN event.json WHEN json_type(event.json, '$.from') IS NULL THEN ''"
    " ELSE json_object('from', json_extract(event.json, '$.from')) END"
    " FROM event JOIN event_mark ON event_mark.device = event.device"
    " AND event_mark.boot = event.boot"
    " JOIN old_form ON old_form.id = event.id"
    " LEFT JOIN event_form ON event_form.text = old_form.text"
    " ORDER BY event.id;"
    "DROP TABLE old_form;"
    "DROP TABLE event;"
    "ALTER TABLE event_rows RENAME TO event;"
    "CREATE UNIQUE INDEX event_seq ON event(book, outbox, seq);"
    "CREATE INDEX event_book ON event(book, id);"
    "CREATE INDEX event_form_used ON event(form);",
    /* Table of the members of large rollouts, as texts until their rows are
     * made. */
    "CREATE TABLE member_draft (rollout TEXT PRIMARY KEY, members TEXT NOT"
    " NULL);",
    /* Adds the seals of what rules are about. */
    "ALTER TABLE setting ADD COLUMN seal TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE device ADD COLUMN seal TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE fleet_group ADD COLUMN seal TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE certificate ADD COLUMN seal TEXT NOT NULL DEFAULT '';",
};
const size_t flo_sqlite_schema_count = FLO_COUNT(flo_sqlite_schema);
