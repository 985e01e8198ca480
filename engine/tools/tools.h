/* The commands of flotilla-engine; each returns an exit code. */
#ifndef FLOTILLA_ENGINE_TOOLS_H
#define FLOTILLA_ENGINE_TOOLS_H

/* argv[0] is the command's own name. */
int flo_cmd_run(int argc, char **argv);
int flo_cmd_generate(int argc, char **argv);
int flo_cmd_logits(int argc, char **argv);
int flo_cmd_tokenize(int argc, char **argv);
int flo_cmd_bench(int argc, char **argv);
int flo_cmd_inspect(int argc, char **argv);
int flo_cmd_plan(int argc, char **argv);
int flo_cmd_pack(int argc, char **argv);
int flo_cmd_quantize(int argc, char **argv);
int flo_cmd_merge_lora(int argc, char **argv);
int flo_cmd_embed(int argc, char **argv);
int flo_cmd_perplexity(int argc, char **argv);
int flo_cmd_eval(int argc, char **argv);
int flo_cmd_worker(int argc, char **argv);

#endif
