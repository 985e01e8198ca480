/* PostgreSQL: the steps that bring an older database to the tables of
 * tables.def.
 *
 * A new database is made from the table itself (schema.c) and begins at the
 * newest step.  A change of tables.def is a new step behind the last one, never
 * an edit: databases have gone these.  A test compares both ways, column by
 * column.
 *
 * Databases of builds that did not count are at step 1.  Each of those builds
 * added what its predecessor did not have, so step 2 asks what is there. */
#include "server-stub/store/postgresql/inside.h"

#define TEXT " text COLLATE \"C\" NOT NULL DEFAULT ''"
#define NUMBER " bigint NOT NULL DEFAULT 0"
#define ADD(table, field)                                                      \
    "ALTER TABLE " table " ADD COLUMN IF NOT EXISTS " field
#define MAKE(table, fields) "CREATE TABLE IF NOT EXISTS " table " (" fields ")"
#define INDEX(name, fields) "CREATE INDEX IF NOT EXISTS " name " ON " fields

const struct flo_postgresql_step flo_postgresql_steps[] = {
    {2, ADD("device", "trust" NUMBER)},
    {2, ADD("device", "note" TEXT)},
    {2, ADD("device", "maintenance" TEXT)},
    {2, ADD("device", "pins" TEXT)},
    {2, ADD("device", "replaces" TEXT)},
    {2, ADD("device", "replaced_by" TEXT)},
    {2, INDEX("by_device_retired_trust", "device (retired, trust)")},
    {2, ADD("device_group", "since" NUMBER)},
    {2, MAKE("fleet_group",
             "name" TEXT ", selector" TEXT ", priority" NUMBER ", note" TEXT
             ", created_at" NUMBER ", ends" NUMBER ", PRIMARY KEY (name)")},
    /* Groups were names at devices before they were rows. */
    {2, "INSERT INTO fleet_group (name, priority) SELECT DISTINCT grp, 100"
        " FROM device_group WHERE grp <> 'all' ON CONFLICT DO NOTHING"},
    {2, ADD("desired", "groups" TEXT)},
    {2, ADD("desired", "statement" TEXT)},
    {2, ADD("desired", "stated_at" NUMBER)},
    {2, ADD("member", "segment" NUMBER)},
    {2, ADD("member", "retries" NUMBER)},
    {2, MAKE("evidence", "rollout" TEXT ", n" NUMBER ", at" NUMBER ", body" TEXT
                         ", PRIMARY KEY (rollout, n)")},
    {2, INDEX("by_evidence_at", "evidence (at)")},
    {2, MAKE("trust_statement", "number" NUMBER ", envelope" TEXT ", at" NUMBER
                                ", PRIMARY KEY (number)")},
    {2, MAKE("emergency",
             "id" TEXT ", op" TEXT ", envelope" TEXT ", seq" NUMBER
             ", expires_at" NUMBER ", heard_at" NUMBER ", PRIMARY KEY (id)")},
    {2, INDEX("by_emergency_seq", "emergency (seq)")},
    {2, ADD("token", "person" TEXT)},
    {2, ADD("token", "used_at" NUMBER)},
    {2, MAKE("person", "name" TEXT ", role" TEXT ", disabled" NUMBER
                       ", created_at" NUMBER ", PRIMARY KEY (name)")},
    {2, MAKE("certificate",
             "serial" TEXT ", device" TEXT ", authority" TEXT ", state" TEXT
             ", issued_at" NUMBER ", until" NUMBER ", PRIMARY KEY (serial)")},
    {2, INDEX("by_certificate_device_issued_at",
              "certificate (device, issued_at)")},
    {2, INDEX("by_certificate_until_state", "certificate (until, state)")},
    {2, "DROP INDEX IF EXISTS by_certificate_state_until"},
    {2, MAKE("watch",
             "kind" TEXT ", id" TEXT ", body" TEXT ", PRIMARY KEY (kind, id)")},
    {2, MAKE("delivery", "n" NUMBER ", target" TEXT ", state" TEXT ", body" TEXT
                         ", error" TEXT ", failed" NUMBER ", next_at" NUMBER
                         ", at" NUMBER ", PRIMARY KEY (n)")},
    {2, INDEX("by_delivery_state_next_at", "delivery (state, next_at)")},
    {2, INDEX("by_delivery_target_n", "delivery (target, n)")},
    /* A device fetches files of releases that it was offered: by the orders
     * that hold, and by the names in each release. */
    {2, MAKE("offer",
             "device" TEXT ", release" TEXT ", PRIMARY KEY (device, release)")},
    {2, "INSERT INTO offer SELECT DISTINCT assignment.device, ord.release"
        " FROM assignment JOIN ord ON ord.id = assignment.ord"
        " WHERE ord.op = 'deploy' ON CONFLICT DO NOTHING"},
    {2, MAKE("artifact",
             "digest" TEXT ", release" TEXT ", PRIMARY KEY (digest, release)")},
    {2, "INSERT INTO artifact SELECT DISTINCT m[2], release.digest"
        " FROM release, regexp_matches(body,"
        " '\"(digest|base)\" *: *\"([^\"]+)\"', 'g') AS m"
        " ON CONFLICT DO NOTHING"},
    /* Databases that were counted by builds before these had them not. */
    {3, MAKE("claim", "serial" TEXT ", body" TEXT ", device" TEXT ", at" NUMBER
                      ", PRIMARY KEY (serial)")},
    {3, ADD("certificate", "key" TEXT)},
    {3, ADD("certificate", "proved" TEXT)},
    {3, ADD("token", "seal" TEXT)},
    {3, ADD("person", "seal" TEXT)},
    {4, MAKE("keyring", "number" NUMBER ", digest" TEXT ", body" TEXT
                        ", PRIMARY KEY (number)")},
    {5, ADD("ord", "reason" TEXT)},
    {6, MAKE("audit_line", "n" NUMBER ", text" TEXT ", PRIMARY KEY (n)")},
    {7, ADD("member", "held" NUMBER)},
};
const size_t flo_postgresql_step_count = FLO_COUNT(flo_postgresql_steps);
