/* Plugin for qemu-aarch64: counts the instructions that a program's answers take.
 *
 *     gcc -shared -fPIC -O2 count_insns.c -o count_insns.so
 *     qemu-aarch64 -plugin ./count_insns.so,out=COUNTS PROGRAM ...
 *
 * An answer begins when a read of standard input returns, or when the answer
 * before it ends; it ends when the program writes its standard output.  The
 * first answer is the program's start, up to its first output.
 *
 * For each answer, COUNTS gets one line per block of code that ran: times,
 * number of instructions, host address.  The host's memory map follows, which
 * names the file of each address, then an empty line.  Counts are exact while
 * one thread runs.
 *
 * Not part of the build: neon.py compiles it.  Debian packages no qemu-plugin.h,
 * so the part of the interface (version 1, qemu 4.2 to 8.1) that is used here is
 * declared below. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the interface ---- */

struct qemu_plugin_tb;   /* a block of translated code */
struct qemu_plugin_insn; /* one of its instructions */
struct qemu_info;

enum inline_op { ADD_U64 };

typedef void translate_fn(uint64_t id, struct qemu_plugin_tb *tb);
typedef void call_fn(uint64_t id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2,
                     uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8);
typedef void return_fn(uint64_t id, unsigned cpu, int64_t number, int64_t result);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translate_fn *fn);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum inline_op op,
                                              void *value, uint64_t added);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, call_fn *fn);
void qemu_plugin_register_vcpu_syscall_ret_cb(uint64_t id, return_fn *fn);

extern int qemu_plugin_version;
int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv);

int qemu_plugin_version = 1;

/* ---- counting ---- */

enum { SYSCALL_READ = 63, SYSCALL_WRITE = 64 }; /* of 64-bit Arm */

struct block {
    struct block *next;
    uint64_t times; /* since the answer began */
    size_t insn_count;
    uintptr_t address; /* on the host */
};

static struct block *blocks; /* all that were ever translated */
static int last_read;        /* descriptor of the latest read */
static FILE *out;

static void translate(uint64_t id, struct qemu_plugin_tb *tb)
{
    struct block *block = calloc(1, sizeof(*block));

    (void)id;
    if (block == NULL) {
        abort();
    }
    block->insn_count = qemu_plugin_tb_n_insns(tb);
    block->address = (uintptr_t)qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0));
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &block->times, 1);
}

/* ---- answers ---- */

static void begin(void)
{
    for (struct block *block = blocks; block != NULL; block = block->next) {
        block->times = 0;
    }
}

static void write_map(void)
{
    FILE *map = fopen("/proc/self/maps", "r");
    char line[4096];

    while (map != NULL && fgets(line, sizeof(line), map) != NULL) {
        fputs(line, out);
    }
    if (map != NULL) {
        fclose(map);
    }
}

static void end(void)
{
    for (struct block *block = blocks; block != NULL; block = block->next) {
        if (block->times > 0) {
            fprintf(out, "%" PRIu64 " %zu %" PRIxPTR "\n", block->times, block->insn_count,
                    block->address);
        }
    }
    write_map();
    fputc('\n', out);
    fflush(out);
    begin();
}

static void call(uint64_t id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                 uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == SYSCALL_READ) {
        last_read = (int)a1;
    }
    if (number == SYSCALL_WRITE && a1 == 1) {
        end();
    }
}

static void returned(uint64_t id, unsigned cpu, int64_t number, int64_t result)
{
    (void)id, (void)cpu;
    if (number == SYSCALL_READ && last_read == 0 && result > 0) {
        begin();
    }
}

int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0 && out == NULL) {
            out = fopen(argv[i] + 4, "w");
        }
    }
    if (out == NULL) {
        fprintf(stderr, "count_insns: out=FILE is missing, or cannot be written\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_vcpu_syscall_cb(id, call);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, returned);
    return 0;
}
