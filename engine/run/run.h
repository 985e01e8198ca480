/* The engine process: what its files share. */
#ifndef FLOTILLA_ENGINE_RUN_H
#define FLOTILLA_ENGINE_RUN_H

#include <flotilla/engine.h>
#include <flotilla/engine_wire.h>

/* ---- sandbox.c --------------------------------------------------- */

/* First thing in the process: keep descriptor `socket` (3) only, no core
 * files, no new files, few descriptors, first to go when memory is short. */
void flo_sandbox_prepare(int socket);
/* From here on a system call that is not listed kills the process (SIGSYS).
 * OPENING still lets threads be made and files be asked for in vain (EACCES);
 * SERVING, entered when the model is loaded, does not.  Both hold for every
 * thread.  Returns 1 when in force, 0 when the kernel has no such filter (or
 * this is a sanitizer build, which needs more calls), or FLO_E_PROCESS. */
enum flo_sandbox { FLO_SANDBOX_OPENING, FLO_SANDBOX_SERVING };
FLO_MUST_USE int flo_sandbox_enter(enum flo_sandbox level, struct flo_err *err);

/* ---- stop.c: end an answer at given texts ------------------------ */

/* Text that may be the beginning of a stop text is held back. */
struct flo_stop {
    struct {
        char bytes[FLO_WIRE_STOP_BYTES_MAX];
        size_t count;
    } texts[FLO_WIRE_STOPS_MAX];
    uint32_t n_texts;
    struct flo_buf held;
};
/* Append `text`; move what is certain to `out`.  true: a stop text came, and
 * neither it nor anything behind it is in out or held. */
bool flo_stop_add(struct flo_stop *stop, const char *text, size_t bytes,
                  struct flo_buf *out);

/* ---- job.c: one request ------------------------------------------ */

struct flo_job;

/* Tokenise the request and check it; it waits then.  FLO_E_INFER_PARAM,
 * FLO_E_INFER_TOO_LONG (with the counts), FLO_E_GGUF_VOCAB, FLO_E_MEMORY. */
FLO_MUST_USE int flo_job_new(const struct flo_engine *engine,
                             const struct flo_wire_message *message,
                             struct flo_job **out, struct flo_err *err);
void flo_job_free(struct flo_job *job);
uint32_t flo_job_request(const struct flo_job *job);
bool flo_job_is_probe(const struct flo_job *job);
/* Give it a session and a sampler, reset by this call. */
FLO_MUST_USE int flo_job_start(struct flo_job *job, struct flo_session *session,
                               struct flo_sampler *sampler,
                               struct flo_err *err);
/* A part of the prompt, or one token; its frames go to `out`.  true: the job
 * has ended, and its DONE or FAILED is in `out`. */
bool flo_job_step(struct flo_job *job, struct flo_buf *out);
/* End it now: DONE (cancelled). */
void flo_job_cancel(struct flo_job *job, struct flo_buf *out);

/* Tokens out, for the counters. */
uint32_t flo_job_tokens_in(const struct flo_job *job);
uint32_t flo_job_tokens_out(const struct flo_job *job);

/* Tokens of a text, as many as they are; the caller frees. */
FLO_MUST_USE int flo_job_tokenise(const struct flo_engine *engine,
                                  const char *text, size_t bytes,
                                  bool reads_special, int32_t **tokens,
                                  size_t *count, struct flo_err *err);
/* Append FAILED. */
void flo_job_fail(struct flo_buf *out, uint32_t request,
                  const struct flo_err *err);

/* ---- worker.c ---------------------------------------------------- */

/* Serve one model over `socket` until the agent closes it.  `opened` (may be
 * NULL) is called once the sandbox is closed: for tests of the sandbox and of
 * agents with hostile engines.  Returns an exit code. */
int flo_worker_serve(int socket, void (*opened)(int socket));

#endif
/* ---- pack.c ------------------------------------------------------ */

/* Answer a PACK: the first one with the model's descriptor, which stays the
 * caller's as the next one's.  FLO_E_NOT_BUILT, errors of a model,
 * FLO_E_IO_... */
FLO_MUST_USE int flo_pack_step(int fd, const struct flo_wire_message *message,
                               struct flo_buf *out, struct flo_err *err);
void flo_pack_end(void);

