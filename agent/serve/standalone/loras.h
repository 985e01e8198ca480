/* LoRAs: the adapter files of `flotilla-agent serve`: which exist, which are
 * loaded, and what to change. */
#ifndef FLOTILLA_SERVE_LORAS_H
#define FLOTILLA_SERVE_LORAS_H

#include "agent/serve/serve.h"

#include <sys/stat.h>

/* A list of adapters with their open files. */
struct lora_list {
    uint32_t count;
    struct lora_file {
        char name[FLO_NAME_MAX + 1];
        int fd;
        struct stat stat;
        bool is_refused; /* the engine refused this file, so it is not loaded again */
    } files[FLO_SERVE_ADAPTERS_MAX];
};
void flo_loras_deinit(struct lora_list *list);

/* Places where adapter files are searched; the caller sets the struct to
 * zero. */
struct lora_source {
    const char *folder; /* folder of which all files NAME.gguf are used; NULL: none */
    uint32_t count;
    struct {
        char name[FLO_NAME_MAX + 1];
        const char *path;
    } named[FLO_SERVE_ADAPTERS_MAX];
};
/* Adds the text "NAME=FILE", which must outlive the source.
 * FLO_E_USAGE  the text is invalid */
FLO_MUST_USE int flo_loras_name(struct lora_source *source, const char *text, struct flo_err *err);
/* Opens all adapter files, the named ones first.  A file may be unreadable,
 * have an invalid name, or be one too many.  With `is_strict` that is an error;
 * without, the log says so and the file is left out.  After an error the list
 * is empty.
 * FLO_E_ABSENT, FLO_E_META_NAME, FLO_E_USAGE  a file or its name is wrong
 * FLO_E_IO_OPEN  the folder, or with `is_strict` a file, cannot be opened */
FLO_MUST_USE int flo_loras_open(const struct lora_source *source, bool is_strict,
                                struct lora_list *list, struct flo_err *err);

/* Returns the first loaded file that is not wanted any more; NULL: there is
 * none. */
const struct lora_file *flo_loras_to_drop(const struct lora_list *loaded,
                                          const struct lora_list *wanted);
/* Returns the first wanted file that is not loaded or has changed; NULL: there
 * is none. */
struct lora_file *flo_loras_to_load(const struct lora_list *loaded, struct lora_list *wanted);
/* Adds an adapter to the loaded ones, and takes its descriptor. */
void flo_loras_put(struct lora_list *loaded, struct lora_file *file);
void flo_loras_remove(struct lora_list *loaded, const char *name);
struct lora_file *flo_loras_find(struct lora_list *list, const char *name);

#endif
