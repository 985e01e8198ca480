/* Bundle reader: reads a bundle from front to back. The first entries, the
 * release documents, are verified before anything else is used. Afterwards only
 * files that a document names are accepted, with their size and digest. */
#include <flotilla/errors/bundle.h>
#include <flotilla/plural.h>
#include <flotilla/release.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/host/digest.h"
#include "updater/bundle/input.h"

#define PIECE_BYTES (256u << 10)
#define TRUST_NAME "trust.json"
#define DOCUMENT_NAME "release.json"
/* begins the name of a numbered document; a digit and `.json` follow */
#define DOCUMENT_PREFIX "release-"
#define BLOB_PREFIX "blobs/sha256-"
#define BLOB_NAME_BYTES (sizeof BLOB_PREFIX - 1 + 2 * FLO_DIGEST_BYTES)
#define NAME_SHOWN_BYTES 128

/* A blob that the bundle may contain.  Each release gives one such row for each
 * download of a file, and one for each list of chunk hashes. */
struct expected {
    struct flo_digest digest;
    uint64_t bytes;
    const struct flo_release_file *file;
    bool is_list;
    bool is_seen;
};

struct document {
    char *envelope;
    size_t envelope_bytes;
    struct flo_release_verified verified;
    bool is_verified;
};

struct reader {
    struct archive *archive;
    struct bundle_input *input;
    const struct flo_bundle_handlers *handlers;
    const struct flo_trust *trust;
    struct flo_bundle_facts facts;
    struct document documents[FLO_BUNDLE_RELEASES_MAX];
    bool is_numbered; /* true: the documents are named release-0.json and so on */
    unsigned entries;
    struct expected *expected;
    size_t expected_count;
    /* name of the first entry that no release refers to */
    char stray[NAME_SHOWN_BYTES];
    uint8_t piece[PIECE_BYTES];
};

/* ---- libarchive ---- */

static la_ssize_t on_read(struct archive *archive, void *context, const void **data)
{
    ssize_t bytes = flo_bundle_input_next(context, data);

    if (bytes < 0) {
        archive_set_error(archive, EIO, "input failed");
    }
    return bytes;
}

/* Converts a libarchive error to ours.  libarchive's kinds of damage differ
 * only in their messages. */
static int archive_fail(const struct reader *reader, struct flo_err *err)
{
    int code = flo_bundle_input_failure(reader->input, err);
    const char *text = archive_error_string(reader->archive);

    if (code < 0) {
        return code;
    }
    text = text == NULL ? "unknown damage" : text;
    code = FLO_E_BUNDLE_FORMAT;
    if (strcasestr(text, "truncated") != NULL) {
        code = FLO_E_BUNDLE_TRUNCATED;
    } else if (strcasestr(text, "size") != NULL) {
        code = FLO_E_BUNDLE_SIZE;
    }
    return flo_fail(err, code, "the bundle behind entry %u: %s", reader->entries, text);
}

static int open_archive(struct reader *reader, struct flo_err *err)
{
    reader->archive = archive_read_new();
    if (reader->archive == NULL || archive_read_support_format_tar(reader->archive) != ARCHIVE_OK) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to read a bundle");
    }
    if (archive_read_open(reader->archive, reader->input, NULL, on_read, NULL) != ARCHIVE_OK) {
        return archive_fail(reader, err);
    }
    return 0;
}

/* ---- entries ---- */

static bool is_harmless_path(const char *path)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

    return path[0] != '/' && path[0] != '\0' && strstr(path, "..") == NULL &&
           path[strspn(path, allowed)] == '\0';
}

static int check_kind(struct archive_entry *entry, const char *shown, struct flo_err *err)
{
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != NULL ||
        archive_entry_symlink(entry) != NULL || archive_entry_sparse_count(entry) > 0 ||
        (archive_entry_mode(entry) & 07000) != 0) {
        return flo_fail(err, FLO_E_BUNDLE_ENTRY, "entry %s is no plain regular file", shown);
    }
    if (archive_entry_size_is_set(entry) == 0 || archive_entry_size(entry) < 0) {
        return flo_fail(err, FLO_E_BUNDLE_SIZE, "entry %s has no size", shown);
    }
    return 0;
}

static int read_data(struct reader *reader, size_t wanted, size_t *got, struct flo_err *err)
{
    la_ssize_t bytes = archive_read_data(reader->archive, reader->piece, wanted);

    if (bytes < 0) {
        return archive_fail(reader, err);
    }
    *got = (size_t)bytes;
    return 0;
}

/* ---- trust statements ---- */

static int read_whole(struct reader *reader, uint64_t bytes, char *out, struct flo_err *err)
{
    uint64_t done = 0;

    while (done < bytes) {
        size_t got = 0;
        uint64_t rest = bytes - done;
        FLO_TRY(read_data(reader, rest < PIECE_BYTES ? (size_t)rest : PIECE_BYTES, &got, err));
        if (got == 0) {
            return flo_fail(err, FLO_E_BUNDLE_SIZE, "the entry " TRUST_NAME " ends too early");
        }
        memcpy(out + done, reader->piece, got);
        done += got;
    }
    out[bytes] = '\0';
    return 0;
}

static int read_trust(struct reader *reader, uint64_t bytes, struct flo_err *err)
{
    const struct flo_bundle_handlers *handlers = reader->handlers;
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;

    if (reader->entries != 1) {
        return flo_fail(err, FLO_E_BUNDLE_ORDER, "entry " TRUST_NAME " is not the first");
    }
    if (bytes > FLO_BUNDLE_TRUST_BYTES_MAX) {
        return flo_fail(err, FLO_E_BUNDLE_LIMIT,
                        "entry " TRUST_NAME " has %" PRIu64 " bytes, allowed are %d", bytes,
                        FLO_BUNDLE_TRUST_BYTES_MAX);
    }
    text = malloc(bytes + 1);
    if (text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to read a bundle");
    }
    FLO_TRY(read_whole(reader, bytes, text, err));
    return handlers->on_trust == NULL ? 0 : handlers->on_trust(handlers->context, text, bytes, err);
}

/* ---- the release document ---- */

static void expect(struct reader *reader, struct expected row)
{
    reader->expected[reader->expected_count++] = row;
}

static int list_expected(struct reader *reader, const struct flo_release *release,
                         struct flo_err *err)
{
    size_t room = reader->expected_count + release->file_count * (FLO_RELEASE_WAYS_MAX + 1);
    struct expected *rows = realloc(reader->expected, room * sizeof *reader->expected);

    if (rows == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to read a bundle");
    }
    reader->expected = rows;
    for (uint32_t i = 0; i < release->file_count; i++) {
        const struct flo_release_file *file = &release->files[i];
        for (uint32_t j = 0; j < file->way_count; j++) {
            const struct flo_way *way = &file->ways[j];
            expect(reader, (struct expected){way->digest, way->bytes, file, false, false});
        }
        if (file->chunk_bytes > 0) {
            uint64_t bytes = (uint64_t)flo_release_chunks(file) * FLO_DIGEST_BYTES;
            expect(reader, (struct expected){file->chunk_list, bytes, file, true, false});
        }
    }
    return 0;
}

static int read_envelope(struct reader *reader, struct document *document, uint64_t bytes,
                         struct flo_err *err)
{
    size_t done = 0;

    if (bytes > FLO_ENVELOPE_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE,
                        "the release document has %" PRIu64 " bytes, allowed "
                        "are %d",
                        bytes, FLO_ENVELOPE_BYTES_MAX);
    }
    document->envelope = malloc((size_t)bytes + 1);
    if (document->envelope == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to read a bundle");
    }
    while (done < bytes) {
        size_t left = (size_t)bytes - done;
        size_t got = 0;
        FLO_TRY(read_data(reader, left < PIECE_BYTES ? left : PIECE_BYTES, &got, err));
        if (got == 0) {
            return flo_fail(err, FLO_E_BUNDLE_TRUNCATED, "the release document ends too early");
        }
        memcpy(document->envelope + done, reader->piece, got);
        done += got;
    }
    document->envelope_bytes = done;
    return 0;
}

static bool is_known(const struct reader *reader, const struct flo_digest *release)
{
    for (uint32_t i = 0; i < reader->facts.release_count; i++) {
        if (flo_digest_equal(&reader->facts.releases[i], release)) {
            return true;
        }
    }
    return false;
}

static int read_document(struct reader *reader, uint64_t bytes, const char *shown,
                         struct flo_err *err)
{
    const struct flo_bundle_handlers *handlers = reader->handlers;
    struct flo_bundle_facts *facts = &reader->facts;
    struct document *document = &reader->documents[facts->release_count];

    FLO_TRY(read_envelope(reader, document, bytes, err));
    FLO_TRY(flo_release_verify(document->envelope, document->envelope_bytes, reader->trust,
                               &document->verified, err));
    document->is_verified = true;
    if (is_known(reader, &document->verified.digest)) {
        return flo_fail(err, FLO_E_BUNDLE_DUPLICATE, "entry %s is a release that stands before it",
                        shown);
    }
    facts->releases[facts->release_count++] = document->verified.digest;
    FLO_TRY(list_expected(reader, &document->verified.release, err));
    return handlers->on_release == NULL
               ? 0
               : handlers->on_release(handlers->context, &document->verified, document->envelope,
                                      document->envelope_bytes, err);
}

/* Returns the number of the document with this entry name, or -1 if the entry
 * is no document. */
static int document_number(const char *path, bool *is_numbered)
{
    size_t bytes = sizeof DOCUMENT_PREFIX - 1;

    *is_numbered = strcmp(path, DOCUMENT_NAME) != 0;
    if (!*is_numbered) {
        return 0;
    }
    return strncmp(path, DOCUMENT_PREFIX, bytes) == 0 && path[bytes] >= '0' &&
                   path[bytes] < '0' + FLO_BUNDLE_RELEASES_MAX &&
                   strcmp(path + bytes + 1, ".json") == 0
               ? path[bytes] - '0'
               : -1;
}

/* Accepts the document `release.json` alone, or numbered documents without a
 * gap, all before the first blob. */
static int take_document(struct reader *reader, uint32_t number, bool is_numbered, uint64_t bytes,
                         const char *shown, struct flo_err *err)
{
    uint32_t count = reader->facts.release_count;
    bool is_same_kind = count == 0 || is_numbered == reader->is_numbered;

    if (is_same_kind && number < count) {
        return flo_fail(err, FLO_E_BUNDLE_DUPLICATE, "entry %s stands twice in the bundle", shown);
    }
    if (!is_same_kind || number != count || reader->facts.blobs > 0 || reader->stray[0] != '\0') {
        return flo_fail(err, FLO_E_BUNDLE_ORDER,
                        "entry %s stands behind %u documents and %u blob%s", shown, count,
                        reader->facts.blobs, flo_s(reader->facts.blobs));
    }
    reader->is_numbered = is_numbered;
    return read_document(reader, bytes, shown, err);
}

/* ---- blobs ---- */

static int check_blob_size(const struct expected *blob, uint64_t bytes, const char *shown,
                           struct flo_err *err)
{
    if (bytes == blob->bytes) {
        return 0;
    }
    return flo_fail(err, bytes > blob->bytes ? FLO_E_BUNDLE_BOMB : FLO_E_BUNDLE_SIZE,
                    "entry %s has %" PRIu64 " bytes, the release says "
                    "%" PRIu64,
                    shown, bytes, blob->bytes);
}

/* Handles the blob `digest` of the bundle, of `bytes` bytes.  Marks each
 * expected blob with this digest as seen, and points *out to one (NULL: no
 * release has the digest).  Fails for a second entry with this digest, or
 * another size. */
static int see(struct reader *reader, const struct flo_digest *digest, uint64_t bytes,
               const char *shown, const struct expected **out, struct flo_err *err)
{
    int rv = 0;

    *out = NULL;
    for (size_t i = 0; rv == 0 && i < reader->expected_count; i++) {
        struct expected *row = &reader->expected[i];
        if (!flo_digest_equal(&row->digest, digest)) {
            continue;
        }
        rv = row->is_seen ? flo_fail(err, FLO_E_BUNDLE_DUPLICATE,
                                     "entry %s stands twice in the bundle", shown)
                          : check_blob_size(row, bytes, shown, err);
        row->is_seen = true;
        *out = row;
    }
    return rv;
}

static int stream_blob(struct reader *reader, const struct expected *blob, bool wanted,
                       struct flo_sha256 *sha, struct flo_err *err)
{
    const struct flo_bundle_handlers *handlers = reader->handlers;
    uint64_t left = blob->bytes;

    while (left > 0) {
        size_t got = 0;
        int rv = read_data(reader, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, &got, err);
        if (rv == 0 && got == 0) {
            rv = flo_fail(err, FLO_E_BUNDLE_TRUNCATED,
                          "the bundle ends %" PRIu64 " bytes before the end of "
                          "entry %u",
                          left, reader->entries);
        }
        if (rv == 0 && wanted && handlers->on_data != NULL) {
            rv = handlers->on_data(handlers->context, reader->piece, got, err);
        }
        FLO_TRY(rv);
        flo_sha256_update(sha, reader->piece, got);
        left -= got;
    }
    return 0;
}

static int read_blob(struct reader *reader, const struct expected *blob, struct flo_err *err)
{
    const struct flo_bundle_handlers *handlers = reader->handlers;
    FLO_CLEANUP(flo_sha256_deinit) struct flo_sha256 sha = {0};
    struct flo_digest found;
    char text[FLO_DIGEST_TEXT];
    bool wanted = true;

    FLO_TRY(flo_sha256_init(&sha, err));
    if (handlers->on_blob != NULL) {
        FLO_TRY(handlers->on_blob(handlers->context, &blob->digest, blob->bytes, &wanted, err));
    }
    FLO_TRY(stream_blob(reader, blob, wanted, &sha, err));
    flo_sha256_final(&sha, &found);
    if (!flo_digest_equal(&found, &blob->digest)) {
        flo_digest_text(&blob->digest, text);
        return flo_fail(err, FLO_E_TARGET_HASH, "the bundle's blob %s has other bytes", text);
    }
    reader->facts.blobs++;
    reader->facts.bytes += blob->bytes;
    return wanted && handlers->on_blob_end != NULL
               ? handlers->on_blob_end(handlers->context, &blob->digest, err)
               : 0;
}

/* ---- one entry after the other ---- */

static int read_named(struct reader *reader, const char *path, uint64_t bytes, const char *shown,
                      struct flo_err *err)
{
    const struct expected *blob = NULL;
    struct flo_digest digest;
    bool is_numbered;
    int number = document_number(path, &is_numbered);
    int rv = 0;

    if (strcmp(path, TRUST_NAME) == 0) {
        return read_trust(reader, bytes, err);
    }
    if (number >= 0) {
        return take_document(reader, (uint32_t)number, is_numbered, bytes, shown, err);
    }
    if (reader->facts.release_count == 0) {
        return flo_fail(err, FLO_E_BUNDLE_ORDER,
                        "the first entry is %s, expected is " DOCUMENT_NAME, shown);
    }
    if (strlen(path) == BLOB_NAME_BYTES &&
        strncmp(path, BLOB_PREFIX, sizeof BLOB_PREFIX - 1) == 0 &&
        flo_hex_decode(path + sizeof BLOB_PREFIX - 1, digest.bytes, sizeof digest.bytes)) {
        rv = see(reader, &digest, bytes, shown, &blob, err);
    }
    if (blob == NULL) {
        /* An entry that no release names is refused only at the end of the
         * bundle.  So a bundle with very many of them fails at the limit on
         * entries first. */
        if (reader->stray[0] == '\0') {
            (void)snprintf(reader->stray, sizeof reader->stray, "%s", shown);
        }
        return 0;
    }
    FLO_TRY(rv);
    return read_blob(reader, blob, err);
}

static int read_entry(struct reader *reader, struct archive_entry *entry, bool is_clean,
                      struct flo_err *err)
{
    const char *path = archive_entry_pathname(entry);
    char shown[NAME_SHOWN_BYTES] = "without a name";

    if (path != NULL) {
        flo_text_clean(path, strlen(path), shown, sizeof shown);
    }
    FLO_TRY(check_kind(entry, shown, err));
    if (path == NULL || !is_harmless_path(path)) {
        return flo_fail(err, FLO_E_BUNDLE_PATH, "entry \"%s\" has a path that is not allowed",
                        shown);
    }
    if (!is_clean) {
        return archive_fail(reader, err);
    }
    return read_named(reader, path, (uint64_t)archive_entry_size(entry), shown, err);
}

static int read_entries(struct reader *reader, struct flo_err *err)
{
    for (;;) {
        struct archive_entry *entry = NULL;
        int result = archive_read_next_header(reader->archive, &entry);
        if (result == ARCHIVE_EOF) {
            return 0;
        }
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
            return archive_fail(reader, err);
        }
        reader->entries++;
        if (reader->entries > FLO_BUNDLE_ENTRIES_MAX) {
            return flo_fail(err, FLO_E_BUNDLE_LIMIT, "the bundle has more than %d entries",
                            FLO_BUNDLE_ENTRIES_MAX);
        }
        FLO_TRY(read_entry(reader, entry, result == ARCHIVE_OK, err));
    }
}

/* Tells whether some download of the file is in the bundle.  It may be listed
 * by any release, because the releases of a bundle share their blobs. */
static bool came(const struct reader *reader, const struct flo_release_file *file)
{
    for (size_t i = 0; i < reader->expected_count; i++) {
        const struct expected *row = &reader->expected[i];
        if (!row->is_list && row->is_seen && flo_digest_equal(&row->file->digest, &file->digest)) {
            return true;
        }
    }
    return false;
}

static uint32_t count_lacking(const struct reader *reader, const struct flo_release *release,
                              const struct flo_release_variant *variant)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < variant->file_count; i++) {
        count += !came(reader, &release->files[variant->files[i]]);
    }
    return count;
}

static int tell_lacking(const struct reader *reader, const struct flo_release *release,
                        const struct flo_release_file *file, struct flo_err *err)
{
    const struct flo_bundle_handlers *handlers = reader->handlers;

    if (handlers->on_lacking == NULL || reader->facts.blobs == 0) {
        return flo_fail(err, FLO_E_BUNDLE_MISSING, "the bundle has no blob for %s of %s@%s",
                        file->name, release->model, release->version);
    }
    return handlers->on_lacking(handlers->context, release, file, err);
}

/* Checks that the bundle has at least one download for every file of some
 * variant. */
static int check_release(const struct reader *reader, const struct flo_release *release,
                         struct flo_err *err)
{
    const struct flo_release_variant *nearest = &release->variants[0];
    int rv = 0;

    for (uint32_t i = 1; i < release->variant_count; i++) {
        if (count_lacking(reader, release, &release->variants[i]) <
            count_lacking(reader, release, nearest)) {
            nearest = &release->variants[i];
        }
    }
    for (uint32_t i = 0; rv == 0 && i < nearest->file_count; i++) {
        const struct flo_release_file *file = &release->files[nearest->files[i]];
        if (!came(reader, file)) {
            rv = tell_lacking(reader, release, file, err);
        }
    }
    return rv;
}

/* Checks that each release is complete and that the bundle has no other
 * entries. */
static int check_whole(const struct reader *reader, struct flo_err *err)
{
    int rv = 0;

    if (reader->facts.release_count == 0) {
        return flo_fail(err, FLO_E_BUNDLE_FORMAT, "the bundle is empty");
    }
    if (reader->stray[0] != '\0') {
        return flo_fail(err, FLO_E_BUNDLE_PATH, "entry %s is not named by the release",
                        reader->stray);
    }
    for (uint32_t i = 0; rv == 0 && i < reader->facts.release_count; i++) {
        rv = check_release(reader, &reader->documents[i].verified.release, err);
    }
    return rv;
}

static void close_documents(struct reader *reader)
{
    for (size_t i = 0; i < FLO_COUNT(reader->documents); i++) {
        if (reader->documents[i].is_verified) {
            flo_release_verified_deinit(&reader->documents[i].verified);
        }
        free(reader->documents[i].envelope);
    }
    free(reader->expected);
}

int flo_bundle_read(const char *path, const struct flo_trust *trust,
                    const struct flo_bundle_handlers *handlers, struct flo_bundle_facts *out,
                    struct flo_err *err)
{
    struct reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to read a bundle");
    }
    reader->handlers = handlers;
    reader->trust = trust;
    int rv = flo_bundle_input_open(path, &reader->input, err);
    if (rv == 0) {
        reader->facts.compressed = flo_bundle_input_is_compressed(reader->input);
        rv = open_archive(reader, err);
    }
    if (rv == 0) {
        rv = read_entries(reader, err);
    }
    if (rv == 0) {
        rv = check_whole(reader, err);
    }
    if (rv == 0 && out != NULL) {
        *out = reader->facts;
    }
    (void)archive_read_free(reader->archive);
    flo_bundle_input_close(reader->input);
    close_documents(reader);
    free(reader);
    return rv;
}
