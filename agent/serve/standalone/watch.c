#include "agent/serve/standalone/watch.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    const char *path; /* NULL: none */
    int fd;
    struct stat seen;
    bool is_changed, is_another; /* told already */
};
struct flo_file_watch {
    struct flo_serve *serve;
    struct event *timer;
    struct file files[FLO_SERVE_MODELS_MAX];
};

static int say_changed(const struct file *file, const struct stat *now, struct flo_err *err)
{
    flo_fail(err, FLO_E_IO_READ, "%s was changed while it is served: %lld bytes then, %lld now",
             file->path, (long long)file->seen.st_size, (long long)now->st_size);
    return flo_err_fix(err, "start the program again; a new file takes the place of a served one "
                            "by a rename, never by writing to it");
}

int flo_file_watch_check(struct flo_file_watch *watch, unsigned model, struct flo_err *err)
{
    struct file *file = &watch->files[model];
    const struct stat *seen = &file->seen;
    struct stat now;

    if (file->path == NULL || (fstat(file->fd, &now) == 0 && now.st_size == seen->st_size &&
                               now.st_mtim.tv_sec == seen->st_mtim.tv_sec &&
                               now.st_mtim.tv_nsec == seen->st_mtim.tv_nsec)) {
        return 0;
    }
    return say_changed(file, &now, err);
}

static void look(struct flo_file_watch *watch, unsigned model)
{
    struct file *file = &watch->files[model];
    struct flo_err err = {0};
    struct stat now;

    if (file->path == NULL || file->is_changed) {
        return;
    }
    if (flo_file_watch_check(watch, model, &err) < 0) {
        file->is_changed = true;
        flo_log_err(FLO_LOG_WARN, "serve", &err);
        flo_serve_unload(watch->serve, model, FLO_ROLE_CURRENT, false);
        flo_serve_down(watch->serve, model, &err);
    } else if (!file->is_another &&
               (stat(file->path, &now) < 0 || now.st_ino != file->seen.st_ino ||
                now.st_dev != file->seen.st_dev)) {
        file->is_another = true;
        flo_log(FLO_LOG_WARN, "serve",
                "%s is another file now, or none: the former one is served until the next start",
                file->path);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct flo_file_watch *watch = context;

    (void)fd, (void)what;
    for (unsigned i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        look(watch, i);
    }
}

int flo_file_watch_open(struct event_base *base, struct flo_serve *serve,
                        struct flo_file_watch **out, struct flo_err *err)
{
    static const struct timeval often = {.tv_usec = 500000};
    struct flo_file_watch *watch = calloc(1, sizeof(*watch));

    *out = watch;
    if (watch != NULL) {
        watch->serve = serve;
        watch->timer = event_new(base, -1, EV_PERSIST, on_timer, watch);
    }
    return watch != NULL && watch->timer != NULL && event_add(watch->timer, &often) == 0
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "the watch of files");
}

int flo_file_watch_add(struct flo_file_watch *watch, unsigned model, const char *path,
                       struct flo_err *err)
{
    struct file *file = &watch->files[model];

    FLO_TRY(flo_file_open(path, &file->fd, err));
    file->path = path;
    return fstat(file->fd, &file->seen) == 0 ? 0 : flo_fail_errno(err, FLO_E_IO_READ, "%s", path);
}

void flo_file_watch_close(struct flo_file_watch *watch)
{
    for (unsigned i = 0; watch != NULL && i < FLO_SERVE_MODELS_MAX; i++) {
        if (watch->files[i].path != NULL) {
            close(watch->files[i].fd);
        }
    }
    if (watch != NULL && watch->timer != NULL) {
        event_free(watch->timer);
    }
    free(watch);
}
