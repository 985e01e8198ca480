/* PostgreSQL: the steps that upgrade an older database to the tables of
 * tables.def.
 *
 * A new database is made from tables.def itself (schema.c) and begins at the
 * newest step.  A change of tables.def is a new step after the last one, never
 * an edit of a step, because databases have taken these.  A test compares both
 * results, column by column.  A database of a build that did not count steps is
 * at step 1.  Each of those builds added something, so step 2 checks what
 * exists. */
#include "server-stub/store/postgresql/connection.h"

#define TEXT " text COLLATE \"C\" NOT NULL DEFAULT ''"
#define NUMBER " bigint NOT NULL DEFAULT 0"
#define ADD(table, field) "ALTER TABLE " table " ADD COLUMN IF NOT EXISTS " field
#define MAKE(table, fields) "CREATE TABLE IF NOT EXISTS " table " (" fields ")"
#define INDEX(name, fields) "CREATE INDEX IF NOT EXISTS " name " ON " fields

/* Moves events from tables that name the device in each row to tables that use
 * numbers.  Older databases have such a column, so this runs once. */
#define EVENTS_BY_NUMBER                                                                           \
    "DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid ="                           \
    " 'event'::regclass AND attname = 'device' AND NOT attisdropped) THEN"                         \
    " INSERT INTO event_mark SELECT device, boot, max(seq) FROM event"                             \
    " GROUP BY device, boot ON CONFLICT DO NOTHING;"                                               \
    " UPDATE event_mark SET outbox = n, book = first FROM (SELECT device AS"                       \
    " d, boot AS b, n, min(n) OVER (PARTITION BY device) AS first FROM"                            \
    " (SELECT device, boot, row_number() OVER (ORDER BY device, boot) AS n"                        \
    " FROM event_mark) AS one) AS two WHERE device = d AND boot = b;"                              \
    " INSERT INTO counter SELECT 'outbox', count(*) FROM event_mark"                               \
    " HAVING count(*) > 0;"                                                                        \
    " DROP INDEX IF EXISTS by_event_device_boot_seq;"                                              \
    " DROP INDEX IF EXISTS by_event_device_id;"                                                    \
    " UPDATE event SET book = m.book, outbox = m.outbox FROM event_mark"                           \
    " AS m WHERE m.device = event.device AND m.boot = event.boot;"                                 \
    " CREATE TEMP TABLE old_form ON COMMIT DROP AS SELECT id, (SELECT '{' ||"                      \
    " string_agg(to_json(k)::text || ':' || v::text, ',' ORDER BY n) || '}'"                       \
    " FROM json_each(json::json) WITH ORDINALITY AS one(k, v, n) WHERE k"                          \
    " NOT IN ('from', 'boot', 'seq', 'at_ms')) COLLATE \"C\" AS text,"                             \
    " (json::json ->> 'from')::bigint AS since FROM event"                                         \
    " WHERE json LIKE '{\"%' AND length(json) < 640 AND at > 0"                                    \
    " AND json::json ->> 'seq' = seq::text"                                                        \
    " AND json::json ->> 'boot' = boot"                                                            \
    " AND json::json ->> 'at_ms' = at::text"                                                       \
    " AND json_typeof(json::json -> 'type') = 'string'"                                            \
    " AND NOT EXISTS (SELECT 1 FROM json_object_keys(json::json) AS k"                             \
    " WHERE k NOT IN ('type', 'execution', 'rollout', 'phase', 'order',"                           \
    " 'model', 'release', 'version', 'state', 'end', 'v', 'from', 'boot',"                         \
    " 'seq', 'at_ms'));"                                                                           \
    " INSERT INTO event_form SELECT row_number() OVER (ORDER BY text), text"                       \
    " FROM (SELECT DISTINCT text FROM old_form) AS one;"                                           \
    " INSERT INTO counter SELECT 'form', count(*) FROM event_form"                                 \
    " HAVING count(*) > 0;"                                                                        \
    " UPDATE event SET form = event_form.number, json = CASE WHEN since IS"                        \
    " NULL THEN '' ELSE format('{\"from\":%s}', since) END FROM old_form"                          \
    " JOIN event_form USING (text) WHERE event.id = old_form.id;"                                  \
    " ALTER TABLE event DROP COLUMN device, DROP COLUMN boot;"                                     \
    " END IF; END $$"

const struct flo_postgresql_step flo_postgresql_steps[] = {
    {2, ADD("device", "trust" NUMBER)},
    {2, ADD("device", "note" TEXT)},
    {2, ADD("device", "maintenance" TEXT)},
    {2, ADD("device", "pins" TEXT)},
    {2, ADD("device", "replaces" TEXT)},
    {2, ADD("device", "replaced_by" TEXT)},
    {2, INDEX("by_device_retired_trust", "device (retired, trust)")},
    {2, ADD("device_group", "since" NUMBER)},
    {2, MAKE("fleet_group", "name" TEXT ", selector" TEXT ", priority" NUMBER ", note" TEXT
                            ", created_at" NUMBER ", ends" NUMBER ", PRIMARY KEY (name)")},
    /* Before this step groups had no rows; they were only names in devices'
     * rows. */
    {2, "INSERT INTO fleet_group (name, priority) SELECT DISTINCT grp, 100"
        " FROM device_group WHERE grp <> 'all' ON CONFLICT DO NOTHING"},
    {2, ADD("desired", "groups" TEXT)},
    {2, ADD("desired", "statement" TEXT)},
    {2, ADD("desired", "stated_at" NUMBER)},
    {2, ADD("member", "segment" NUMBER)},
    {2, ADD("member", "retries" NUMBER)},
    {2, MAKE("evidence",
             "rollout" TEXT ", n" NUMBER ", at" NUMBER ", body" TEXT ", PRIMARY KEY (rollout, n)")},
    {2, INDEX("by_evidence_at", "evidence (at)")},
    {2, MAKE("trust_statement",
             "number" NUMBER ", envelope" TEXT ", at" NUMBER ", PRIMARY KEY (number)")},
    {2, MAKE("emergency", "id" TEXT ", op" TEXT ", envelope" TEXT ", seq" NUMBER
                          ", expires_at" NUMBER ", heard_at" NUMBER ", PRIMARY KEY (id)")},
    {2, INDEX("by_emergency_seq", "emergency (seq)")},
    {2, ADD("token", "person" TEXT)},
    {2, ADD("token", "used_at" NUMBER)},
    {2, MAKE("person", "name" TEXT ", role" TEXT ", disabled" NUMBER ", created_at" NUMBER
                       ", PRIMARY KEY (name)")},
    {2, MAKE("certificate", "serial" TEXT ", device" TEXT ", authority" TEXT ", state" TEXT
                            ", issued_at" NUMBER ", until" NUMBER ", PRIMARY KEY (serial)")},
    {2, INDEX("by_certificate_device_issued_at", "certificate (device, issued_at)")},
    {2, INDEX("by_certificate_until_state", "certificate (until, state)")},
    {2, "DROP INDEX IF EXISTS by_certificate_state_until"},
    {2, MAKE("watch", "kind" TEXT ", id" TEXT ", body" TEXT ", PRIMARY KEY (kind, id)")},
    {2, MAKE("delivery", "n" NUMBER ", target" TEXT ", state" TEXT ", body" TEXT ", error" TEXT
                         ", failed" NUMBER ", next_at" NUMBER ", at" NUMBER ", PRIMARY KEY (n)")},
    {2, INDEX("by_delivery_state_next_at", "delivery (state, next_at)")},
    {2, INDEX("by_delivery_target_n", "delivery (target, n)")},
    /* Offers: a device may fetch the files of a release that is offered to it.
     * Offers are made from the orders that devices hold, and from the names in
     * each release. */
    {2, MAKE("offer", "device" TEXT ", release" TEXT ", PRIMARY KEY (device, release)")},
    {2, "INSERT INTO offer SELECT DISTINCT assignment.device, ord.release"
        " FROM assignment JOIN ord ON ord.id = assignment.ord"
        " WHERE ord.op = 'deploy' ON CONFLICT DO NOTHING"},
    {2, MAKE("artifact", "digest" TEXT ", release" TEXT ", PRIMARY KEY (digest, release)")},
    {2, "INSERT INTO artifact SELECT DISTINCT m[2], release.digest"
        " FROM release, regexp_matches(body,"
        " '\"(digest|base)\" *: *\"([^\"]+)\"', 'g') AS m"
        " ON CONFLICT DO NOTHING"},
    /* Tables that databases of earlier builds lack. */
    {3, MAKE("claim",
             "serial" TEXT ", body" TEXT ", device" TEXT ", at" NUMBER ", PRIMARY KEY (serial)")},
    {3, ADD("certificate", "key" TEXT)},
    {3, ADD("certificate", "proved" TEXT)},
    {3, ADD("token", "seal" TEXT)},
    {3, ADD("person", "seal" TEXT)},
    {4, MAKE("keyring", "number" NUMBER ", digest" TEXT ", body" TEXT ", PRIMARY KEY (number)")},
    {5, ADD("ord", "reason" TEXT)},
    {6, MAKE("audit_line", "n" NUMBER ", text" TEXT ", PRIMARY KEY (n)")},
    {7, ADD("member", "held" NUMBER)},
    {8, MAKE("making", "ord" TEXT ", seq" NUMBER ", grp" TEXT ", made" TEXT ", devices" NUMBER
                       ", n" NUMBER ", PRIMARY KEY (ord)")},
    /* Adds the numbers of an event's outbox, and of the form that the event
     * shares with others (calls/forms.c). */
    {9, ADD("event_mark", "book" NUMBER)},
    {9, ADD("event_mark", "outbox" NUMBER)},
    {9, MAKE("event_form", "number" NUMBER ", text" TEXT ", PRIMARY KEY (number)")},
    {9, "CREATE UNIQUE INDEX IF NOT EXISTS by_event_form_text"
        " ON event_form (text)"},
    {9, ADD("event", "book" NUMBER)},
    {9, ADD("event", "outbox" NUMBER)},
    {9, ADD("event", "form" NUMBER)},
    {9, EVENTS_BY_NUMBER},
    {9, "CREATE UNIQUE INDEX IF NOT EXISTS by_event_book_outbox_seq"
        " ON event (book, outbox, seq)"},
    {9, INDEX("by_event_book_id", "event (book, id)")},
    {9, INDEX("by_event_form", "event (form)")},
    {10, MAKE("member_draft", "rollout" TEXT ", members" TEXT ", PRIMARY KEY (rollout)")},
    {11, ADD("setting", "seal" TEXT)},
    {11, ADD("device", "seal" TEXT)},
    {11, ADD("fleet_group", "seal" TEXT)},
    {11, ADD("certificate", "seal" TEXT)},
};
const size_t flo_postgresql_step_count = FLO_COUNT(flo_postgresql_steps);
