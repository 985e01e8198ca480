/* Witness: stores signed lines of the controller's audit log that were sent to
 * this device.
 *
 * outbox.db has two values.  `audit` is the newest line.  `audit_before` is the
 * line that it replaced, until a report has sent it to the controller that
 * published the newer one.  An audit log that was truncated grows again, and
 * its newer line must not replace the line that proves the truncation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shell/report/memory.h"

#define NEWEST "audit"
#define BEFORE "audit_before"
#define LINE_TEXT 320

struct line {
    uint64_t number, at_ms;
};

/* Reads a line of the form "head <number> sha256:<64 hex> <at_ms> <128 hex>".
 * Only the controller can verify the signature, because no device has that
 * key. */
static bool read_line(const char *text, struct line *out)
{
    char number[20], hash[65], at_ms[20], signature[129];
    int end = -1;

    if (strlen(text) >= LINE_TEXT ||
        sscanf(text, "head %19[0-9] sha256:%64[0-9a-f] %19[0-9] %128[0-9a-f]%n", number, hash,
               at_ms, signature, &end) != 4 ||
        end != (int)strlen(text) || strlen(hash) != 64 || strlen(signature) != 128) {
        return false;
    }
    out->number = strtoull(number, NULL, 10);
    out->at_ms = strtoull(at_ms, NULL, 10);
    return true;
}

/* Reads a stored line.  Returns false when there is none, or when it is
 * obsolete because it is older than `from_ms`, the restore of the controller's
 * backup. */
static bool is_held(struct flo_outbox_db *db, const char *key, uint64_t from_ms, struct line *out)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = flo_values_get(db, key);

    return text != NULL && read_line(text, out) && out->at_ms >= from_ms;
}

bool flo_witness_hear(struct flo_shell *shell, const char *text, uint64_t from_ms)
{
    struct line told, newest, before;

    if (shell->db == NULL || !read_line(text, &told)) {
        return false;
    }
    bool has_newest = is_held(shell->db, NEWEST, from_ms, &newest);
    if (has_newest && newest.number >= told.number) {
        return newest.number > told.number;
    }
    bool keeps = !shell->report->witness_is_told && is_held(shell->db, BEFORE, from_ms, &before);
    if (!keeps) {
        FLO_CLEANUP(flo_free_cleanup)
        char *old = has_newest ? flo_values_get(shell->db, NEWEST) : NULL;
        flo_values_set(shell->db, BEFORE, old != NULL ? old : "");
    }
    flo_values_set(shell->db, NEWEST, text);
    shell->report->witness_is_told = false;
    return false;
}

/* Deletes the older line when a report has sent it.  An obsolete line must not
 * stay in place of a valid one. */
void flo_witness_told(struct flo_shell *shell)
{
    if (!shell->report->witness_is_told && shell->db != NULL) {
        flo_values_set(shell->db, BEFORE, "");
    }
    shell->report->witness_is_told = true;
}

static void add(struct flo_outbox_db *db, const char *key, json_t *lines)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = flo_values_get(db, key);
    struct line line;

    if (text != NULL && read_line(text, &line)) {
        json_array_append_new(lines, json_string(text));
    }
}

json_t *flo_witness_json(const struct flo_shell *shell)
{
    json_t *lines = json_array();

    if (lines != NULL && shell->db != NULL) {
        add(shell->db, NEWEST, lines);
        add(shell->db, BEFORE, lines);
    }
    return lines;
}
