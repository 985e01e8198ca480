/* A peer next to us: the same tests as `flotilla-engine bench`, run through
 * llama.cpp's public C API.
 *
 *     bench_peer serve MODEL THREADS FLASH REPACK UBATCH CONTEXT
 *     bench_peer start MODEL THREADS FLASH REPACK UBATCH CONTEXT PROMPT
 *     bench_peer form  MODEL THREADS FLASH REPACK UBATCH CONTEXT GBNF COUNT
 *
 * FLASH is -1 (the peer's choice), 0 or 1; REPACK 0 or 1.  `serve` answers
 * each line of stdin (p128, g32, g32@2048) with its tokens per second.
 * `start` writes the first token as soon as it is there, then what the start
 * cost.  `form` samples COUNT tokens freely and behind a grammar and tells the
 * milliseconds that choosing one took.  Not part of the build:
 * bench_engine.py compiles it against the peer that FLOTILLA_PEER_A or _B
 * names.  PEER_BACKENDS is the folder of a peer that loads its kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ggml-backend.h>
#include <llama.h>

enum { TOKENS_MAX = 16384, WORDS_MAX = 30000 };

struct peer {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    int32_t n_vocab;
    double load_ms, context_ms;
    llama_token tokens[TOKENS_MAX];
};

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void say(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level >= GGML_LOG_LEVEL_ERROR && getenv("PEER_LOG") != NULL) {
        fputs(text, stderr);
    }
}

static void die(const char *what)
{
    fprintf(stderr, "bench_peer: %s\n", what);
    exit(1);
}

/* One line of /proc/self/status, in bytes. */
static long long memory(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    size_t chars = strlen(key);
    long long bytes = -1;
    char line[256];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, chars) == 0) {
            bytes = atoll(line + chars + 1) * 1024;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

static void open_peer(struct peer *peer, char **argv)
{
    struct llama_model_params model = llama_model_default_params();
    struct llama_context_params context = llama_context_default_params();
    int flash = atoi(argv[4]);
    double started_ms;

    model.n_gpu_layers = 0;
    model.use_extra_bufts = atoi(argv[5]) != 0;
    context.n_threads = context.n_threads_batch = atoi(argv[3]);
    context.flash_attn_type = flash < 0    ? LLAMA_FLASH_ATTN_TYPE_AUTO
                              : flash == 0 ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                           : LLAMA_FLASH_ATTN_TYPE_ENABLED;
    context.n_ubatch = (uint32_t)atoi(argv[6]);
    context.n_ctx = (uint32_t)atoi(argv[7]);
    context.n_batch = context.n_ctx;
    context.no_perf = true;
    if (context.n_ctx > TOKENS_MAX) {
        die("the context is too long");
    }
    started_ms = now_ms();
    peer->model = llama_model_load_from_file(argv[2], model);
    if (peer->model == NULL) {
        die("the model does not load");
    }
    peer->load_ms = now_ms() - started_ms;
    peer->context = llama_init_from_model(peer->model, context);
    if (peer->context == NULL) {
        die("no context");
    }
    peer->context_ms = now_ms() - started_ms - peer->load_ms;
    peer->vocab = llama_model_get_vocab(peer->model);
    peer->n_vocab = llama_vocab_n_tokens(peer->vocab);
    for (int i = 0; i < TOKENS_MAX; i++) {
        int32_t words = peer->n_vocab < WORDS_MAX ? peer->n_vocab : WORDS_MAX;

        peer->tokens[i] = (llama_token)((i * 7919 + 13) % words);
    }
}

static void decode(struct peer *peer, llama_token *tokens, int count)
{
    if (llama_decode(peer->context, llama_batch_get_one(tokens, count)) != 0) {
        die("decode failed");
    }
}

/* A test as engine/commands/bench.c reads it; tokens per second. */
static double run(struct peer *peer, const char *test)
{
    llama_memory_t cache = llama_get_memory(peer->context);
    int count = atoi(test + 1), depth = 0;
    const char *at = strchr(test, '@');
    llama_pos last;
    double started_ms;

    if (at != NULL) {
        depth = atoi(at + 1);
    }
    if (count < 1 || depth < 0 || count + depth > (int)llama_n_ctx(peer->context)) {
        die("not a test, or longer than the context");
    }
    llama_memory_seq_rm(cache, 0, depth, -1);
    last = llama_memory_seq_pos_max(cache, 0);
    if (last + 1 < depth) {
        decode(peer, peer->tokens, depth - (last + 1));
    }
    llama_synchronize(peer->context);
    started_ms = now_ms();
    if (test[0] == 'p') {
        decode(peer, peer->tokens, count);
    }
    for (int i = 0; test[0] == 'g' && i < count; i++) {
        decode(peer, peer->tokens + i, 1);
    }
    llama_synchronize(peer->context);
    return count / (now_ms() - started_ms) * 1e3;
}

static void serve(struct peer *peer)
{
    char line[64];

    printf("{\"load_ms\":%.3f,\"context_ms\":%.3f,\"version\":\"ggml %s "
           "%s\",\"system\":\"%s\"}\n",
           peer->load_ms, peer->context_ms, ggml_version(), ggml_commit(),
           llama_print_system_info());
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        printf("{\"%s\":%.3f}\n", line, run(peer, line));
        fflush(stdout);
    }
}

static void start(struct peer *peer, int count)
{
    struct llama_sampler *greedy = llama_sampler_init_greedy();
    double started_ms = now_ms();
    char text[256];
    llama_token token;
    int chars;

    if (count < 1 || count > (int)llama_n_ctx(peer->context)) {
        die("the prompt is longer than the context");
    }
    decode(peer, peer->tokens, count);
    token = llama_sampler_sample(greedy, peer->context, -1);
    chars = llama_token_to_piece(peer->vocab, token, text, sizeof(text), 0, true);
    printf("%.*s\n", chars > 0 ? chars : 0, text);
    fflush(stdout);
    printf("{\"load_ms\":%.3f,\"context_ms\":%.3f,\"prompt_ms\":%.3f,"
           "\"rss_bytes\":%lld,\"rss_anon_bytes\":%lld,\"peak_bytes\":%lld}\n",
           peer->load_ms, peer->context_ms, now_ms() - started_ms, memory("VmRSS"),
           memory("RssAnon"), memory("VmHWM"));
}

/* The likeliest token; with a grammar, the likeliest that it allows: first
 * only that one is checked, then all, as the peer's own tools do. */
static llama_token choose(struct peer *peer, llama_token_data *data, struct llama_sampler *greedy,
                          struct llama_sampler *grammar)
{
    const float *logits = llama_get_logits_ith(peer->context, -1);
    llama_token_data_array all = {data, (size_t)peer->n_vocab, -1, false};
    llama_token_data one;
    llama_token_data_array alone = {&one, 1, -1, false};

    for (int32_t i = 0; i < peer->n_vocab; i++) {
        data[i] = (llama_token_data){i, logits[i], 0.0f};
    }
    llama_sampler_apply(greedy, &all);
    one = data[all.selected];
    if (grammar == NULL) {
        return one.id;
    }
    llama_sampler_apply(grammar, &alone);
    if (one.logit == -__builtin_inff()) {
        llama_sampler_apply(grammar, &all);
        llama_sampler_apply(greedy, &all);
        one = data[all.selected];
    }
    llama_sampler_accept(grammar, one.id);
    return one.id;
}

/* Milliseconds for choosing a token, the decoding apart; a new answer begins
 * when one is whole. */
static double sample(struct peer *peer, struct llama_sampler *grammar, int count)
{
    struct llama_sampler *greedy = llama_sampler_init_greedy();
    llama_token_data *data = calloc((size_t)peer->n_vocab, sizeof(*data));
    double spent_ms = 0.0;

    if (data == NULL) {
        die("no memory");
    }
    llama_memory_clear(llama_get_memory(peer->context), true);
    decode(peer, peer->tokens, 8);
    for (int i = 0; i < count; i++) {
        double started_ms;
        llama_token token;

        llama_synchronize(peer->context);
        started_ms = now_ms();
        token = choose(peer, data, greedy, grammar);
        spent_ms += now_ms() - started_ms;
        if (grammar != NULL && llama_vocab_is_eog(peer->vocab, token)) {
            llama_sampler_reset(grammar);
        }
        decode(peer, &token, 1);
    }
    llama_sampler_free(greedy);
    free(data);
    return spent_ms / count;
}

static void form(struct peer *peer, const char *path, int count)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    struct llama_sampler *grammar;
    double free_ms;

    if (file == NULL || fread(text, 1, sizeof(text) - 1, file) == 0) {
        die("the grammar cannot be read");
    }
    fclose(file);
    grammar = llama_sampler_init_grammar(peer->vocab, text, "root");
    if (grammar == NULL) {
        die("not a grammar");
    }
    free_ms = sample(peer, NULL, count);
    printf("{\"free_ms\":%.4f,\"form_ms\":%.4f}\n", free_ms, sample(peer, grammar, count));
}

int main(int argc, char **argv)
{
    static struct peer peer;

    if (argc < 8) {
        die("usage: serve|start|form MODEL THREADS FLASH REPACK UBATCH "
            "CONTEXT [PROMPT | GBNF COUNT]");
    }
    llama_log_set(say, NULL);
    if (getenv("PEER_BACKENDS") != NULL) {
        ggml_backend_load_all_from_path(getenv("PEER_BACKENDS"));
    } else {
        ggml_backend_load_all();
    }
    llama_backend_init();
    open_peer(&peer, argv);
    if (strcmp(argv[1], "serve") == 0) {
        serve(&peer);
    } else if (strcmp(argv[1], "start") == 0 && argc > 8) {
        start(&peer, atoi(argv[8]));
    } else if (strcmp(argv[1], "form") == 0 && argc > 9) {
        form(&peer, argv[8], atoi(argv[9]));
    } else {
        die("serve, start PROMPT or form GBNF COUNT");
    }
    return 0;
}
