/* launch: run one test, keep its output, and measure it.
 *
 * usage: launch TIMES LOGS NAME COMMAND [ARGUMENT ...]
 *
 * The output goes to LOGS/NAME.log.  TIMES gets a line: name, exit code, wall
 * and CPU seconds with all descendants.  A test that fails or is skipped shows
 * its log; a failure ends with three lines: its claim, the evidence and the
 * place of the log.  Processes that a test left behind end with it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SKIPPED = 77,      /* a test's own code */
    PYTEST_NONE = 5,   /* pytest ran nothing */
    SHOWN = 200 << 10, /* bytes of a log's end that are shown */
    LINE = 4096
};

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_of_children(void)
{
    struct rusage use;

    getrusage(RUSAGE_CHILDREN, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* Ends what is left of the test, generation after generation. */
static void end_orphans(void)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
    for (;;) {
        FILE *file = fopen(path, "re");
        long pid;
        while (file != NULL && fscanf(file, "%ld", &pid) == 1) {
            kill((pid_t)pid, SIGKILL);
        }
        if (file != NULL) {
            fclose(file);
        }
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) {
            return;
        }
    }
}

static void show_end(const char *log)
{
    char piece[1 << 16];
    struct stat found;
    FILE *file = fopen(log, "re");

    if (file == NULL) {
        return;
    }
    if (fstat(fileno(file), &found) == 0 && found.st_size > SHOWN) {
        fseek(file, (long)found.st_size - SHOWN, SEEK_SET);
        printf("... the last %d bytes of %s\n", SHOWN, log);
    }
    for (size_t got; (got = fread(piece, 1, sizeof(piece), file)) > 0;) {
        fwrite(piece, 1, got, stdout);
    }
    fclose(file);
}

/* A test's name is a sentence. */
static void as_sentence(char *name)
{
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '_' ? ' ' : *at;
    }
}

/* Claim and evidence as pytest ("FAILED file::test - why"), cmocka
 * ("[  ERROR   ] --- why", "[  FAILED  ] test") and sanitizers write them. */
static void read_failure(const char *log, char claim[LINE], char seen[LINE])
{
    char line[LINE];
    FILE *file = fopen(log, "re");
    char *at;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strncmp(line, "FAILED ", 7) == 0 ||
            (strncmp(line, "ERROR ", 6) == 0 && strstr(line, "::"))) {
            at = strstr(line, " - ");
            if (at != NULL) {
                snprintf(seen, LINE, "%.*s", LINE - 1, at + 3);
                *at = '\0';
            }
            at = strstr(line, "::");
            snprintf(claim, LINE, "%.*s", LINE - 1, at ? at + 2 : line + 7);
        } else if (strncmp(line, "[  ERROR   ] ---", 16) == 0 && seen[0] == '\0') {
            snprintf(seen, LINE, "%.*s", LINE - 1, line + 17);
        } else if (strncmp(line, "[   LINE   ] ---", 16) == 0 && strlen(seen) < LINE / 2 &&
                   strstr(seen, " (") == NULL) {
            size_t used = strlen(seen);
            snprintf(seen + used, LINE - used, " (%.*s)", LINE / 2 - 4, line + 17);
        } else if (strncmp(line, "[  FAILED  ] ", 13) == 0 && claim[0] == '\0' &&
                   strstr(line, "test(s)") == NULL) {
            snprintf(claim, LINE, "%.*s", LINE - 1, line + 13);
        } else if ((at = strstr(line, "runtime error:")) != NULL ||
                   (at = strstr(line, "ERROR: AddressSanitizer")) != NULL ||
                   (at = strstr(line, "ERROR: LeakSanitizer")) != NULL ||
                   (at = strstr(line, "WARNING: ThreadSanitizer")) != NULL ||
                   (strstr(line, ": waited ") != NULL && (at = line)) ||
                   (strstr(line, ": Assertion `") != NULL && (at = line))) {
            snprintf(seen, LINE, "%.*s", LINE - 1, at);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    as_sentence(claim);
}

static void tell_failure(const char *name, const char *log, int code)
{
    static char claim[LINE], seen[LINE];

    read_failure(log, claim, seen);
    if (seen[0] == '\0' && code > 128) {
        snprintf(seen, LINE, "signal %d (%s)", code - 128, strsignal(code - 128));
    } else if (seen[0] == '\0') {
        snprintf(seen, LINE, "exit code %d", code);
    }
    char path[LINE];
    snprintf(path, sizeof(path), "%.*s.failed.log", (int)strlen(log) - 4, log);
    FILE *file = fopen(path, "we"); /* for run.py, which says it once more */
    for (int i = 0; i < 2; i++) {
        FILE *to = i == 0 ? stdout : file;
        if (to != NULL) {
            fprintf(to, "claim: %s%s%s\nseen:  %s\nlog:   %s\n", name, claim[0] == '\0' ? "" : ": ",
                    claim, seen, log);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: launch TIMES LOGS NAME COMMAND [ARG ...]\n");
        return 2;
    }
    /* A play on another kernel has a log and times of its own. */
    const char *kernel = getenv("FLOTILLA_KERNEL");
    char log[4096], row[512], name[256];
    snprintf(name, sizeof(name), "%s%s%s", argv[3], kernel != NULL ? "." : "",
             kernel != NULL ? kernel : "");
    snprintf(log, sizeof(log), "%s/%s.log", argv[2], name);
    (void)mkdir(argv[2], 0777);
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out < 0) {
        fprintf(stderr, "%s: %s\n", log, strerror(errno));
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    double begin_s = seconds_now();
    pid_t test = fork();
    if (test == 0) {
        /* Linux schedules a session as one: an update, which takes idle time
         * alone, then waits for its own test and not for all that is busy. */
        setsid();
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0); /* ctest ended it */
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        execvp(argv[4], argv + 4);
        fprintf(stderr, "%s: %s\n", argv[4], strerror(errno));
        _exit(127);
    }
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(-1, &status, 0)) != test) {
        if (ended < 0 && errno != EINTR) {
            break;
        }
    }
    double wall_s = seconds_now() - begin_s;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    end_orphans();
    int times = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int bytes =
        snprintf(row, sizeof(row), "%s\t%d\t%.2f\t%.2f\n", name, code, wall_s, cpu_of_children());
    if (times >= 0 && write(times, row, (size_t)bytes) != bytes) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
    }
    if (code != 0) {
        show_end(log);
    }
    if (code != 0 && code != SKIPPED && code != PYTEST_NONE) {
        tell_failure(name, log, code);
    }
    return code;
}
