/* Memory: sums the memory of all processes of a runtime, as /proc tells it. */
#include "engine/proxy/proxy.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 4096
#define TREE_MAX 1024

struct relation {
    pid_t pid, parent;
};

static ssize_t read_file(pid_t pid, const char *name, char *out, size_t bytes)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, bytes - 1);
    if (fd >= 0) {
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n;
}

/* Returns the parent of a process.  A line of /proc has it after the name, as
 * in "7 (name) S 1 ...", and the name may have any character. */
static pid_t parent_of(pid_t pid)
{
    char text[512];
    const char *end;

    if (read_file(pid, "stat", text, sizeof(text)) <= 0 || (end = strrchr(text, ')')) == NULL ||
        strlen(end) < 5) {
        return -1;
    }
    return (pid_t)strtol(end + 4, NULL, 10);
}

static size_t look(struct relation *out)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    size_t n = 0;

    while (dir != NULL && n < PROCESSES_MAX && (entry = readdir(dir)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0) {
            out[n++] = (struct relation){pid, parent_of(pid)};
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return n;
}

/* Returns the proportional memory (Pss) of a process, or its resident size. */
static uint64_t bytes_of(pid_t pid)
{
    char text[2048];
    const char *line;
    uint64_t rss = 0;

    if (read_file(pid, "smaps_rollup", text, sizeof(text)) > 0 &&
        (line = strstr(text, "\nPss:")) != NULL) {
        return strtoull(line + 5, NULL, 10) * 1024;
    }
    return flo_process_memory(pid, &rss, NULL, NULL) ? rss : 0;
}

void flo_runtime_memory(pid_t keeper, uint64_t *bytes, uint32_t *count)
{
    static struct relation all[PROCESSES_MAX];
    static pid_t tree[TREE_MAX];
    size_t n = look(all), n_tree = 1;

    tree[0] = keeper;
    *bytes = 0;
    for (size_t i = 0; i < n_tree; i++) {
        for (size_t k = 0; k < n; k++) {
            if (all[k].parent == tree[i] && n_tree < TREE_MAX) {
                tree[n_tree++] = all[k].pid;
            }
        }
        *bytes += bytes_of(tree[i]);
    }
    *count = (uint32_t)(n_tree - 1);
}
