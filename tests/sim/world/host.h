/* The calls that the linker hands over (host.c). */
#ifndef FLOTILLA_TESTS_SIM_HOST_H
#define FLOTILLA_TESTS_SIM_HOST_H

#include "base/host/crypto.h"
#include "server-stub/store/memory/memory.h"
#include "server-stub/telemetry/lane.h"
#include "tests/sim/sim.h"

/* A key of the process: 0 the publisher's, 1 a stranger's; from 2 on the
 * controller's. */
#define SIM_KEY_ROOT 14
#define SIM_KEY_EMERGENCY 15
struct flo_key *sim_key(size_t number);
void sim_keys_again(void);
void sim_store_forget(void);

/* trust.c */
void sim_trust_begin(void);
void sim_trust_end(void);
void sim_emergency_forget(void);

uint64_t __wrap_flo_now_ms(void);
uint64_t __wrap_flo_now_us(void);
uint64_t __wrap_flo_wall_ms(void);
uint64_t __wrap_flo_build_ms(void);
void __wrap_flo_random(void *out, size_t bytes);
void __wrap_flo_uuid_make(char *out);
void __wrap_flo_log(enum flo_log_level level, const char *area, const char *format, ...)
    FLO_PRINTF(3, 4);
void __wrap_flo_log_err(enum flo_log_level level, const char *area, const struct flo_err *err);
void __real_flo_key_free(struct flo_key *key);
int __real_flo_key_generate(struct flo_key **out, struct flo_err *err);
int __wrap_flo_key_generate(struct flo_key **out, struct flo_err *err);
void __wrap_flo_key_free(struct flo_key *key);
int __wrap_flo_sign(const struct flo_key *key, const void *data, size_t bytes, uint8_t *signature,
                    struct flo_err *err);
int __wrap_flo_verify(const struct flo_public_key *key, const void *data, size_t bytes,
                      const void *signature, size_t signature_bytes, struct flo_err *err);
int __real_flo_authority_make(const struct flo_key *key, const struct flo_certificate_spec *spec,
                              struct flo_buf *pem, struct flo_err *err);
int __wrap_flo_authority_make(const struct flo_key *key, const struct flo_certificate_spec *spec,
                              struct flo_buf *pem, struct flo_err *err);
int __real_flo_certificate_read(const char *pem, size_t bytes, struct flo_certificate *out,
                                struct flo_err *err);
int __wrap_flo_certificate_read(const char *pem, size_t bytes, struct flo_certificate *out,
                                struct flo_err *err);
int __real_flo_memory_open(struct flo_store_engine **out, struct flo_err *err);
int __wrap_flo_memory_open(struct flo_store_engine **out, struct flo_err *err);
struct flo_lane;
int __wrap_flo_lane_open(const char *dir, const char *fleet, uint64_t block_ms,
                         struct flo_lane **out, struct flo_err *err);
void __wrap_flo_lane_close(struct flo_lane *closed);
void __wrap_flo_lane_device(struct flo_lane *told, const char *device,
                            const char *hardware_or_null);
void __wrap_flo_lane_judge(struct flo_lane *told, struct flo_lane_judge judge);
void __wrap_flo_lane_release(struct flo_lane *told, const char *digest, const char *model,
                             const char *version, const char *variants);

#endif
