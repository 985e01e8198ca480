/* Switches in a source of which drawn.py made mutants: one build has all, and the
 * environment turns one on.  Included before everything else of that source. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FLO_DRAWN_MAX 4096

static unsigned char flo_drawn_here[FLO_DRAWN_MAX];
static unsigned char *flo_drawn_seen = flo_drawn_here; /* by number: it was reached */
static unsigned flo_drawn_on;                          /* 0: none */

/* Reads `name` from the environment of a process.  Returns what stands behind it, or NULL. */
static const char *flo_drawn_of(int pid, const char *name, char *text, size_t room)
{
    size_t bytes, length = strlen(name);

    snprintf(text, room, "/proc/%d/environ", pid);
    FILE *file = fopen(text, "re");
    if (file == NULL) {
        return NULL;
    }
    bytes = fread(text, 1, room - 1, file);
    fclose(file);
    text[bytes] = '\0';
    for (const char *at = text; at < text + bytes; at += strlen(at) + 1) {
        if (strncmp(at, name, length) == 0 && at[length] == '=') {
            return at + length + 1;
        }
    }
    return NULL;
}

/* An engine's environment is cleared, so its ancestors are asked. */
static const char *flo_drawn_env(const char *name, char *text, size_t room)
{
    const char *found = getenv(name);
    int pid = getppid();

    for (int up = 0; found == NULL && pid > 1 && up < 8; up++) {
        char line[512] = "";
        found = flo_drawn_of(pid, name, text, room);
        snprintf(line, sizeof(line), "/proc/%d/stat", pid);
        FILE *file = fopen(line, "re");
        char *end =
            file != NULL && fgets(line, sizeof(line), file) != NULL ? strrchr(line, ')') : 0;
        pid = end != NULL ? atoi(end + 4) : 0;
        if (file != NULL) {
            fclose(file);
        }
    }
    return found;
}

/* Runs before main, since a sandbox opens no file later. */
__attribute__((constructor)) static void flo_drawn_begin(void)
{
    static char texts[2][32768];
    const char *on = flo_drawn_env("FLOTILLA_DRAWN", texts[0], sizeof(texts[0]));
    const char *seen = flo_drawn_env("FLOTILLA_DRAWN_SEEN", texts[1], sizeof(texts[1]));
    int fd = seen == NULL ? -1 : open(seen, O_RDWR | O_CLOEXEC);
    void *map =
        fd < 0 ? MAP_FAILED : mmap(NULL, FLO_DRAWN_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    flo_drawn_on = on == NULL ? 0 : (unsigned)atoi(on);
    flo_drawn_seen = map == MAP_FAILED ? flo_drawn_here : map;
    if (fd >= 0) {
        close(fd);
    }
}

static inline bool flo_drawn(unsigned number)
{
    flo_drawn_seen[number] = 1;
    return number == flo_drawn_on;
}

/* A step whose failure is passed over. */
static inline int flo_drawn_ignores(unsigned number, int rv)
{
    return flo_drawn(number) ? 0 : rv;
}
