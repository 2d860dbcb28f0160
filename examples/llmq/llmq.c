/* llmq - one tool: quantize a model, run it, measure it, look into it.

       cc -O2 examples/llmq/llmq.c -o llmq -lm -lpthread         (-DLLMQ_NO_THREADS without POSIX threads)
       x86_64-w64-mingw32-gcc -O2 examples/llmq/llmq.c -o llmq.exe
       llmq COMMAND --help

   Models are .llmq bundles, GGUF files, folders of safetensors or llama2.c checkpoints. Text is
   tokenized by the tokenizer of the model, which a bundle carries with it as the value "tokenizer".

   The exit code is 0 if everything that was asked for has been done and written, 2 if the
   command line was not understood, else 1. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE, realpath, clock_gettime, whatever -std says */
#endif
#if defined _WIN32 && !defined __USE_MINGW_ANSI_STDIO
#define __USE_MINGW_ANSI_STDIO 1
#endif
struct llmq_kernels;
static const struct llmq_kernels *chosen; /* what --kernels names */
#define LLMQ_KERNELS (chosen ? chosen : llmq_kernels_best())
#define LLMQ_IMPLEMENTATION
#include "../../llmq.h"
#define LM_IMPLEMENTATION
#include "../lm.h"
#define LLAMA2C_IMPLEMENTATION
#include "../llama2c.h"
#define GGUF_IMPLEMENTATION
#include "../gguf.h"
#define JSON_IMPLEMENTATION
#include "../json.h"
#define SAFETENSORS_IMPLEMENTATION
#include "../safetensors.h"
#define IMPORT_IMPLEMENTATION
#include "../import.h"
#define TOKENIZER_IMPLEMENTATION
#include "../tokenizer.h"
#define TOKENIZER_READ_IMPLEMENTATION
#include "../tokenizer_read.h"
#define SENSE_IMPLEMENTATION
#include "../sense.h"
#define IMATRIX_IMPLEMENTATION
#include "../imatrix.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#include <shellapi.h>
#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <sys/stat.h>
#else
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#ifndef LLMQ_NO_THREADS
#include <pthread.h>
#include <sched.h>
#endif
#endif

#include "system.h"
#include "files.h"
#include "options.h"
#include "model.h"
#include "pool.h"
#include "quantize.h"
#include "run.h"
#include "chat.h"
#include "measure.h"
#include "speed.h"
#include "inspect.h"
#include "calibrate.h"
#include "plan.h"

static const struct { const char *name, *help; int (*run)(int, char **); } commands[] = {
    { "quantize", "store a model's linear layers in fewer bits", command_quantize },
    { "run", "continue a text", command_run },
    { "chat", "talk with a model, in the form that it was trained for", command_chat },
    { "ppl", "perplexity of a text, and divergence from another model", command_ppl },
    { "speed", "tokens a second of prompts and of generated text", command_speed },
    { "compare", "one model in several formats, side by side", command_compare },
    { "sense", "sums of a calibration text's inputs, for quantize --hessian", command_sense },
    { "merge", "add up sums that were made of parts of a text", command_merge },
    { "alpha", "what an error of each layer costs, for plan --rule linear", command_alpha },
    { "plan", "formats of single layers from their sensitivities", command_plan },
    { "linearity", "what random recipes do, beside what plan --rule linear foretells", command_linearity },
    { "rank", "how well sensitivities foretell what quantizing a layer does", command_rank },
    { "inspect", "what is in a model", command_inspect }
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void list_kernels(void)
{
    const llmq_kernels *k;
    for (uint32_t i = 0; (k = llmq_kernels_at(i)) != NULL; i++)
        if ((k->features & ~llmq_cpu_features()) == 0) printf(" %s", k->name);
    printf(" (default %s)\n", llmq_kernels_best()->name);
}

static void print_version(void)
{
    printf("llmq %d.%d.%d\nkernels:", LLMQ_VERSION_MAJOR, LLMQ_VERSION_MINOR, LLMQ_VERSION_PATCH);
    list_kernels();
}

/* The kernels of this name, or the best; and whether this program computes what other machines do. */
static void start_kernels(const char *name)
{
    const char *allow = getenv("LLMQ_ALLOW_INEXACT");
    uint32_t k = 0;
    llmq_status status;
    if (name) {
        while ((chosen = llmq_kernels_at(k)) != NULL && strcmp(chosen->name, name) != 0) k++;
        if (!chosen) fail("no kernels of the name '%s' here; 'llmq --version' lists them", name);
        if (chosen->features & ~llmq_cpu_features()) fail("this processor cannot run the kernels '%s'", name);
    }
    if ((status = llmq_selftest()) == LLMQ_OK) return;
    if (!allow || strcmp(allow, "1") != 0)
        fail("%s; LLMQ_ALLOW_INEXACT=1 in the environment goes on, with results that differ from other machines'",
             llmq_status_text(status));
    fprintf(stderr, "llmq: warning: %s; results will differ from other machines\n", llmq_status_text(status));
}

static void print_commands(const command_line *c)
{
    printf("usage: llmq %s\n\n", c->usage);
    for (int i = 0; i < COMMANDS; i++) printf("  %-25s %s\n", commands[i].name, commands[i].help);
    printf("  %-25s the options of a command, as llmq COMMAND --help\n\n", "help COMMAND");
    print_options(c->tables[0]);
    printf("\nKernels that run here:");
    list_kernels();
    printf("\nExit codes: 0, all is done and written; 1, it could not be; 2, the command line was not understood.\n"
           "Where arithmetic is not what results of the same bits need, nothing is done unless LLMQ_ALLOW_INEXACT=1 is "
           "in the environment.\n");
}

int main(int argc, char **argv)
{
    static const command_line line = { "COMMAND [arguments]", { common_options, NULL, NULL, NULL }, 1, -1,
                                       print_commands };
    const char *name;
    char words[128];
    int i = 1, is_help;
    start_files(&argc, &argv);
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) read_option(&line, argc, argv, &i);
    if (i == argc) misuse(&line, "no command");
    is_help = strcmp(argv[i], "help") == 0;
    if (is_help && ++i == argc) {
        print_commands(&line);
        return 0;
    }
    name = argv[i];
    for (int k = 0; k < COMMANDS; k++) {
        char help[] = "--help", *only_help[] = { help, NULL };
        if (strcmp(name, commands[k].name) == 0)
            return is_help ? commands[k].run(1, only_help) : commands[k].run(argc - i - 1, argv + i + 1);
    }
    {
        near_miss best = { name, { NULL, NULL, NULL }, 0, 0 };
        for (int k = 0; k < COMMANDS; k++) offer_name(&best, commands[k].name);
        misuse(&line, "no command '%s'%s", name, near_words(&best, "", words, sizeof words));
    }
    return EXIT_USAGE;
}
