/* llmq - one tool: quantize a model, run it, measure it, look into it.

       cc -O2 examples/llmq/llmq.c -o llmq -lm -lpthread         (-DLLMQ_NO_THREADS without POSIX threads)
       llmq COMMAND --help

   Models are llama2.c checkpoints or .llmq bundles; text is tokenized with a llama2.c tokenizer, which a bundle carries
   with it as the value "tokenizer". */
struct llmq_kernels;
static const struct llmq_kernels *chosen; /* what --kernels names */
#define LLMQ_KERNELS (chosen ? chosen : llmq_kernels_best())
#define LLMQ_IMPLEMENTATION
#include "../../llmq.h"
#define LLAMA_IMPLEMENTATION
#include "../llama.h"
#define LLAMA2C_IMPLEMENTATION
#include "../llama2c.h"
#define SENSE_IMPLEMENTATION
#include "../sense.h"
#define IMATRIX_IMPLEMENTATION
#include "../imatrix.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifndef LLMQ_NO_THREADS
#include <pthread.h>
#endif

#include "files.h"
#include "options.h"
#include "model.h"
#include "quantize.h"
#include "run.h"
#include "measure.h"
#include "inspect.h"
#include "calibrate.h"
#include "plan.h"

/* Takes --kernels NAME, which all commands have, out of the arguments; returns how many are left. */
static int take_kernels(int argc, char **argv)
{
    int n = 0;
    for (int i = 0; i < argc; i++) {
        uint32_t k = 0;
        if (strcmp(argv[i], "--kernels") != 0) {
            argv[n++] = argv[i];
            continue;
        }
        if (++i == argc) fail("--kernels needs a name");
        while ((chosen = llmq_kernels_at(k)) != NULL && strcmp(chosen->name, argv[i]) != 0) k++;
        if (!chosen) fail("no kernels of the name '%s' here", argv[i]);
        if (chosen->features & ~llmq_cpu_features()) fail("this processor cannot run the kernels '%s'", argv[i]);
    }
    return n;
}

static void list_kernels(void)
{
    const llmq_kernels *k;
    printf("\nAll take --kernels NAME; the results are the same bits, the speed is not:");
    for (uint32_t i = 0; (k = llmq_kernels_at(i)) != NULL; i++)
        if ((k->features & ~llmq_cpu_features()) == 0) printf(" %s", k->name);
    printf(" (default %s)\n", llmq_kernels_best()->name);
}

int main(int argc, char **argv)
{
    static const struct { const char *name, *help; int (*run)(int, char **); } command[] = {
        { "quantize", "store a model's linear layers in fewer bits", command_quantize },
        { "run", "continue a text", command_run },
        { "ppl", "perplexity of a text, and divergence from another model", command_ppl },
        { "compare", "one model in several formats, side by side", command_compare },
        { "sense", "sums of a calibration text's inputs, for quantize --hessian", command_sense },
        { "merge", "add up sums that were made of parts of a text", command_merge },
        { "alpha", "what an error of each layer costs, for plan --rule linear", command_alpha },
        { "plan", "formats of single layers from their sensitivities", command_plan },
        { "linearity", "what random recipes do, beside what plan --rule linear foretells", command_linearity },
        { "rank", "how well sensitivities foretell what quantizing a layer does", command_rank },
        { "inspect", "what is in a bundle", command_inspect }
    };
    const size_t n = sizeof command / sizeof *command;
    argc = take_kernels(argc, argv);
    if (llmq_selftest() != LLMQ_OK) fprintf(stderr, "llmq: warning: %s; results will differ from other machines\n", llmq_status_text(LLMQ_E_INEXACT));
    for (size_t i = 0; argc > 1 && i < n; i++)
        if (strcmp(argv[1], command[i].name) == 0) return command[i].run(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0) fprintf(stderr, "llmq: no command '%s'\n", argv[1]);
    printf("usage: llmq COMMAND [arguments]; llmq COMMAND --help\n\n");
    for (size_t i = 0; i < n; i++) printf("  %-10s %s\n", command[i].name, command[i].help);
    list_kernels();
    return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) ? 0 : 1;
}
