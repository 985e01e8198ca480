/* Work folder: the results of a build's steps, so that none is computed twice.
 *
 * Each result has a folder of its own, and `done.json` in it once it is
 * complete. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/state.h>

#include "base/scratch.h"
#include "server-stub/cli/builds/run/run.h"

#define NOTE_BYTES_MAX 4096

int flo_build_work_open(const char *path, struct flo_build_work *out, struct flo_err *err)
{
    char lock[4096];

    *out = (struct flo_build_work){path, -1};
    FLO_TRY(flo_dir_make(path, 0755, err));
    if (!flo_path_join(lock, sizeof(lock), path, "lock")) {
        return flo_fail(err, FLO_E_USAGE, "%s: the path is too long", path);
    }
    out->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (out->lock_fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", lock);
    }
    return flock(out->lock_fd, LOCK_EX | LOCK_NB) == 0
               ? 0
               : flo_fail(err, FLO_E_STATE_LOCKED, "%s: another build uses this folder", path);
}

void flo_build_work_close(struct flo_build_work *work)
{
    if (work->lock_fd >= 0) {
        close(work->lock_fd);
    }
    work->lock_fd = -1;
}

static bool note_path(const struct flo_build_step *step, char *out, size_t bytes)
{
    return flo_path_join(out, bytes, step->folder, "done.json");
}

bool flo_build_is_done(const struct flo_build_step *step)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *note = NULL;
    struct stat status;
    char path[4096];
    size_t bytes;

    return note_path(step, path, sizeof(path)) &&
           flo_file_read(path, NOTE_BYTES_MAX, &text, &bytes, NULL) == 0 &&
           flo_json_parse(text, bytes, NOTE_BYTES_MAX, &note, NULL) == 0 &&
           flo_json_says(note, "key", step->key) && stat(step->result, &status) == 0 &&
           S_ISREG(status.st_mode) && flo_json_number(note, "bytes") == (uint64_t)status.st_size;
}

int flo_build_note_done(const struct flo_build_step *step, uint64_t ms, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct stat status;
    char path[4096];

    if (stat(step->result, &status) < 0 || !note_path(step, path, sizeof(path))) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", step->result);
    }
    FLO_CLEANUP(flo_json_cleanup)
    json_t *note = json_pack("{s:s s:s s:I s:I}", "step", step->name, "key", step->key, "bytes",
                             (json_int_t)status.st_size, "ms", (json_int_t)ms);
    flo_json_dump(note, &text);
    return note == NULL || text.failed ? flo_fail(err, FLO_E_MEMORY, "a note")
                                       : flo_file_write(path, text.data, text.bytes, 0644, err);
}

/* Tells whether a name is that of a result, so that nothing else is removed. */
static bool is_result(const char *name)
{
    static const char *const kinds[] = {"import-", "quantize-", "evaluate-", "golden-"};

    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        size_t chars = strlen(kinds[i]);
        if (strncmp(name, kinds[i], chars) == 0) {
            return strspn(name + chars, "0123456789abcdef") == 16 && name[chars + 16] == '\0';
        }
    }
    return false;
}

void flo_build_work_prune(const struct flo_build_work *work, const struct flo_build_plan *plan)
{
    DIR *dir = opendir(work->path);
    char path[4096];

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        bool is_used = !is_result(entry->d_name) ||
                       !flo_path_join(path, sizeof(path), work->path, entry->d_name);
        for (size_t i = 0; !is_used && i < plan->count; i++) {
            is_used = strcmp(plan->steps[i].folder, path) == 0;
        }
        if (!is_used) {
            flo_scratch_remove(path);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}
