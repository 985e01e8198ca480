/* Host: what the shipped code asks of its machine, answered by the simulation.
 *
 * The linker hands calls of these functions over (tests/sim/CMakeLists.txt).
 * A signature is a digest of key and text here: only who has the key can make
 * it, as with the real one, and it takes a microsecond. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/sig.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "server-stub/store/memory/memory.h"
#include "server-stub/store/tables.h"
#include "tests/sim/world/host.h"

/* ---- time and chance ---- */

uint64_t __wrap_flo_now_ms(void)
{
    return sim->actor != NULL ? sim_device_now_ms(sim->actor) : sim->now_ms + 1000000;
}

uint64_t __wrap_flo_now_us(void)
{
    return (__wrap_flo_now_ms() - (sim->actor != NULL ? sim->actor->slept_ms : 0)) * 1000;
}

uint64_t __wrap_flo_wall_ms(void)
{
    if (sim->actor != NULL) {
        return sim_device_wall_ms(sim->actor);
    }
    return SIM_WALL_MS + sim->now_ms +
           (sim->is_controllers ? (uint64_t)sim->controller.skew_ms : 0);
}

uint64_t __wrap_flo_build_ms(void)
{
    return SIM_WALL_MS - UINT64_C(30) * 86400000;
}

void __wrap_flo_random(void *out, size_t bytes)
{
    uint8_t *at = out;

    for (size_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)sim_next(&sim->chance);
    }
}

void __wrap_flo_uuid_make(char *out)
{
    uint64_t a = sim_next(&sim->chance);
    uint64_t b = sim_next(&sim->chance);

    snprintf(out, 37, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)a, (unsigned)(a >> 32) & 0xffff,
             (unsigned)(a >> 48) & 0xfff, (unsigned)b & 0xfff, (unsigned long long)(b >> 16));
}

/* ---- log ---- */

void __wrap_flo_log(enum flo_log_level level, const char *area, const char *format, ...)
{
    char text[512];
    va_list arguments;

    if (!sim->is_traced || level > FLO_LOG_WARN) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sim_trace("log", "%s: %s", area, text);
}

void __wrap_flo_log_err(enum flo_log_level level, const char *area, const struct flo_err *err)
{
    if (sim->is_traced && level <= FLO_LOG_WARN) {
        sim_trace("log", "%s: %s: %s", area, flo_error_id(err->code), err->what);
    }
}

/* ---- keys ---- */

#define KEYS_MAX 16
static struct flo_key *keys[KEYS_MAX]; /* of the process, made once */
static size_t next_key;

/* The controller asks for its keys in the same order at each start. */
void sim_keys_again(void)
{
    next_key = 2;
}

struct flo_key *sim_key(size_t number)
{
    struct flo_err err = {0};

    if (number >= KEYS_MAX) {
        abort();
    }
    if (keys[number] == NULL) {
        struct sim_random before = sim->chance; /* only the process's first world makes it */
        sim->chance = sim_random_of(number + 1, "key");
        if (__real_flo_key_generate(&keys[number], &err) < 0) {
            abort();
        }
        sim->chance = before;
    }
    return keys[number];
}

int __wrap_flo_key_generate(struct flo_key **out, struct flo_err *err)
{
    (void)err;
    *out = sim_key(next_key++);
    return 0;
}

/* Those of this table stay for the next world. */
void __wrap_flo_key_free(struct flo_key *key)
{
    size_t i = 0;

    while (i < KEYS_MAX && keys[i] != key) {
        i++;
    }
    if (i == KEYS_MAX) {
        __real_flo_key_free(key);
    }
}

static void digest_of(const struct flo_public_key *key, const void *data, size_t bytes,
                      uint8_t *out)
{
    struct flo_digest half[2];
    struct flo_buf text = {0};

    flo_buf_add(&text, key->keyid, strlen(key->keyid));
    flo_buf_add(&text, data, bytes);
    flo_sha256(text.data, text.bytes, &half[0]);
    flo_sha256(half[0].bytes, sizeof(half[0].bytes), &half[1]);
    flo_buf_deinit(&text);
    half[0].bytes[0] &= 0x7f; /* r and s below n, s the low one */
    half[1].bytes[0] &= 0x3f;
    memcpy(out, half[0].bytes, 32);
    memcpy(out + 32, half[1].bytes, 32);
}

int __wrap_flo_sign(const struct flo_key *key, const void *data, size_t bytes, uint8_t *signature,
                    struct flo_err *err)
{
    (void)err;
    digest_of(flo_key_public(key), data, bytes, signature);
    return 0;
}

int __wrap_flo_verify(const struct flo_public_key *key, const void *data, size_t bytes,
                      const void *signature, size_t signature_bytes, struct flo_err *err)
{
    uint8_t wanted[FLO_SIGNATURE_BYTES];

    if (signature_bytes != sizeof(wanted)) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "%zu bytes", signature_bytes);
    }
    digest_of(key, data, bytes, wanted);
    return memcmp(wanted, signature, sizeof(wanted)) == 0
               ? 0
               : flo_fail(err, FLO_E_SIG_BAD, "the signature does not fit");
}

/* Milliseconds each; the certificate says nothing here. */
int __wrap_flo_authority_make(const struct flo_key *key, const struct flo_certificate_spec *spec,
                              struct flo_buf *pem, struct flo_err *err)
{
    static struct flo_buf kept;

    if (kept.bytes == 0) {
        struct sim_random before = sim->chance;
        if (__real_flo_authority_make(key, spec, &kept, err) < 0) {
            return err->code;
        }
        sim->chance = before;
    }
    flo_buf_add(pem, kept.data, kept.bytes);
    return 0;
}

int __wrap_flo_certificate_read(const char *pem, size_t bytes, struct flo_certificate *out,
                                struct flo_err *err)
{
    static struct flo_certificate kept;
    static bool is_kept;

    if (!is_kept && __real_flo_certificate_read(pem, bytes, &kept, err) < 0) {
        return err->code;
    }
    is_kept = true;
    *out = kept;
    return 0;
}

/* ---- the store's engine: it outlives the controller's process ---- */

static struct flo_store_engine *kept_engine;
static struct flo_store_ops kept_ops;
static const struct flo_store_ops *real_ops;

static void engine_close(struct flo_store_engine *engine)
{
    real_ops->cancel(engine);
}

static int engine_begin(struct flo_store_engine *engine, struct flo_err *err)
{
    return sim->controller.disk_fails ? flo_fail(err, FLO_E_DISK_FULL, "the disk is full")
                                      : real_ops->begin(engine, err);
}

static void on_started(const struct sim_call *call)
{
    (void)call;
    sim_controller_start();
}

static void on_dead(const struct sim_call *call)
{
    if (call->a == sim->controller.life) {
        sim_controller_kill();
        sim_later(3000, (struct sim_call){.fn = on_started});
    }
}

static int engine_commit(struct flo_store_engine *engine, struct flo_err *err)
{
    if (sim->controller.disk_fails) {
        real_ops->cancel(engine);
        return flo_fail(err, FLO_E_DISK_FULL, "the disk is full");
    }
    int rv = real_ops->commit(engine, err);
    if (rv == 0 && sim->controller.dies_at_commit) {
        /* Nothing that it wants to say leaves any more. */
        sim->controller.dies_at_commit = false;
        sim->controller.client.believes = false;
        sim_later(0, (struct sim_call){.fn = on_dead, .a = sim->controller.life});
    }
    return rv;
}

int __wrap_flo_memory_open(struct flo_store_engine **out, struct flo_err *err)
{
    if (kept_engine == NULL) {
        int rv = __real_flo_memory_open(&kept_engine, err);
        if (rv < 0) {
            return rv;
        }
        real_ops = kept_engine->ops;
        kept_ops = *real_ops;
        kept_ops.close = engine_close;
        kept_ops.begin = engine_begin;
        kept_ops.commit = engine_commit;
        kept_engine->ops = &kept_ops;
    }
    *out = kept_engine;
    return 0;
}

void sim_store_forget(void)
{
    if (kept_engine != NULL) {
        real_ops->close(kept_engine);
        kept_engine = NULL;
    }
}

/* ---- telemetry: it has a thread of its own, and decides nothing ---- */

static char lane;

int __wrap_flo_lane_open(const char *dir, const char *fleet, uint64_t block_ms,
                         struct flo_lane **out, struct flo_err *err)
{
    (void)dir, (void)fleet, (void)block_ms, (void)err;
    *out = (struct flo_lane *)&lane;
    return 0;
}

void __wrap_flo_lane_close(struct flo_lane *closed)
{
    (void)closed;
}

void __wrap_flo_lane_device(struct flo_lane *told, const char *device, const char *hardware_or_null)
{
    (void)told, (void)device, (void)hardware_or_null;
}

void __wrap_flo_lane_judge(struct flo_lane *told, struct flo_lane_judge judge)
{
    (void)told, (void)judge;
}

void __wrap_flo_lane_release(struct flo_lane *told, const char *digest, const char *model,
                             const char *version, const char *variants)
{
    (void)told, (void)digest, (void)model, (void)version, (void)variants;
}
