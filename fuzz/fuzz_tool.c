/* fuzz_tool.c - everything that the tool reads from other people: each reader gets any bytes,
   and what it accepts must be safe to use.

       clang -g -O1 -fsanitize=fuzzer,address,undefined -DLLMQ_SIMD=0 fuzz/fuzz_tool.c -o build/fuzz_tool -lm -lpthread
       FUZZ_READER=recipe build/fuzz_tool CORPUS         libFuzzer: looks for inputs that crash
       cc -g -O1 -fsanitize=address,undefined -DLLMQ_SIMD=0 -DREPLAY fuzz/fuzz_tool.c -o build/replay_tool -lm -lpthread
       FUZZ_READER=recipe build/replay_tool FILE...      runs inputs that were found
       FUZZ_READER=recipe build/replay_tool -n 5000 SEED...   no fuzzer at hand: damages the seeds that often
       build/replay_tool -l                              lists the readers
       build/replay_tool -c FILE, -t FILE writes a small checkpoint, its tokenizer: tests/fuzz.sh
         makes seeds of them

   The tool is compiled into this file. It ends with exit() when something is wrong; here that
   leads back to the fuzzer. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static jmp_buf fuzz_back;
static _Noreturn void fuzz_exit(int code) { (void)code, longjmp(fuzz_back, 1); }
#define LLVMFuzzerTestOneInput fuzz_bundle_input /* fuzz_bundle.c: checksums and the golden bundle */
#ifdef REPLAY
#undef REPLAY
#define FUZZ_REPLAY
#endif
struct llmq_kernels;
static const struct llmq_kernels *chosen;
#define LLMQ_KERNELS (chosen ? chosen : llmq_kernels_best())
#include "fuzz_bundle.c"
#undef LLVMFuzzerTestOneInput
#define main tool_main
#define exit fuzz_exit
#define FUZZ_TOOL
#include "../examples/llmq/llmq.c"
#undef exit
#undef main

static const char *const where = "input";

/* ---- the readers ----------------------------------------------------------------------------- */

static void broken(const char *what)
{
    fprintf(stderr, "fuzz_tool: %s\n", what);
    abort();
}

/* A reader that refuses must say why; one that accepts has nothing to say. */
static int is_accepted(int accepted, problem *p)
{
    if (accepted && p->what.n) broken("accepted, with a problem");
    if (!accepted && !p->what.n) broken("refused without a word");
    free(p->what.s);
    return accepted;
}

/* Bytes as text that ends with a 0, as command lines are. */
static char *as_text(const unsigned char *bytes, size_t size)
{
    char *text = (char *)allocate(size + 1);
    memcpy(text, bytes, size);
    text[size] = 0;
    return text;
}

static void use_recipe(unsigned char *bytes, size_t size)
{
    recipe r = default_recipe;
    problem p = { { NULL, 0, 0 } }, q = { { NULL, 0, 0 } };
    if (is_accepted(read_recipe(&r, where, (const char *)bytes, size, &p), &p)) {
        for (uint32_t i = 0; i < r.choice_count; i++) {
            llmq_format f;
            if (!memchr(r.choices[i].name, 0, sizeof r.choices[i].name)) broken("a name without an end");
            (void)!llmq_format_find(&f, r.choices[i].format,
                                    r.choices[i].group < 0 ? 64 : (uint32_t)r.choices[i].group);
            (void)linear_of(r.choices[i].name, 6, &f.n);
        }
        if (r.transform) {
            llmq_transform t;
            (void)is_accepted(parse_steps(&t, r.transform, &q), &q);
        }
    }
    if (r.transform != default_recipe.transform) free((void *)(uintptr_t)r.transform);
    free((void *)(uintptr_t)r.choices);
}

static void use_alphas(unsigned char *bytes, size_t size)
{
    alphas a;
    problem p = { { NULL, 0, 0 } };
    uint32_t known = 0;
    memset(&a, 0, sizeof a);
    if (is_accepted(read_alphas(&a, where, (const char *)bytes, size, 2, &p), &p)) {
        for (uint32_t i = 0; i < a.count; i++) known += a.of[i].known != 0;
        if (known != a.lines) broken("a wrong number of coefficients");
    }
    free(a.of);
}

static void use_sums(unsigned char *bytes, size_t size)
{
    sums s;
    problem p = { { NULL, 0, 0 } };
    if (size > 4 && memcmp(bytes, "LLMQ", 4) == 0) fix_checksums(bytes, size);
    if (!is_accepted(read_sums(&s, where, bytes, size, &p), &p)) return;
    for (int linear = 0; linear < LM_LINEARS; linear++) {
        char name[64], found[64];
        imatrix_entry e;
        llmq_hessian h;
        problem q = { { NULL, 0, 0 } };
        snprintf(name, sizeof name, "layers.1.%s", lm_linear_name[linear]);
        if (s.is_imatrix) (void)is_accepted(find_importance(&s, name, found, &e, &q), &q);
        else if (linear < SENSE_SUMS) {
            snprintf(name, sizeof name, "sense.1.%s", sense_name[linear]);
            free(load_sum(&s, name, linear == SENSE_DOWN ? s.hidden : s.dim, &h));
        }
    }
}

static void use_tokenizer(unsigned char *bytes, size_t size)
{
    enum { VOCAB = 300 };
    static const char text[] = "In the beginning\n\xf0\x9f\x98\x80 caf\xc3\xa9 \xff\x80 <s> <0x41> end";
    uint32_t ids[3 * sizeof text];
    tokenizer t;
    problem p = { { NULL, 0, 0 } };
    size_t n, count;
    unsigned char *stored = convert_tokenizer(where, bytes, size, VOCAB, 1, &n, &p);
    void *work;
    if (!is_accepted(stored != NULL, &p)) return;
    if (tokenizer_open(&t, stored, n) != LLMQ_OK || t.count > VOCAB) broken("a tokenizer that is none");
    work = allocate(n = tokenizer_work_size(&t, sizeof text));
    for (int flags = 0; flags <= TOKENIZER_CONTINUES; flags += TOKENIZER_CONTINUES) {
        if (tokenizer_encode(&t, text, sizeof text - 1, flags, ids, 3 * sizeof text, &count, work, n) != LLMQ_OK)
            broken("a text that cannot be encoded");
        for (size_t i = 0; i < count; i++)
            if (ids[i] >= t.count) broken("an id that the tokenizer does not have");
    }
    free(work);
    free(stored);
}

/* A few tokens through a model that is not too large for this. */
static void run_model(loaded *m)
{
    const size_t need = lm_state_size(&m->model, 2);
    float *logits;
    if (need == 0 || need > (size_t)1 << 24 || (uint64_t)m->model.dim * m->model.vocab > 1u << 20) return;
    logits = (float *)allocate(m->model.vocab * sizeof *logits);
    open_window(m, where, 2);
    for (uint32_t i = 0; i < 3 && i < m->model.context; i++) {
        const uint32_t id = i % m->model.vocab;
        if (lm_forward(&m->model, &m->state, &id, 1, i, logits) != LLMQ_OK) break;
    }
    free(logits);
}

static void use_model(unsigned char *bytes, size_t size)
{
    loaded m;
    problem p = { { NULL, 0, 0 } };
    unsigned char *copy = (unsigned char *)allocate(size);
    memcpy(copy, bytes, size);
    fix_checksums(copy, size);
    memset(&m, 0, sizeof m);
    if (is_accepted(read_bundle(&m, where, copy, size, &p), &p)) run_model(&m);
    close_model(&m);
}

static void use_checkpoint(unsigned char *bytes, size_t size)
{
    llama2c_checkpoint c;
    problem p = { { NULL, 0, 0 } }, q = { { NULL, 0, 0 } };
    loaded m;
    if (!is_accepted(read_checkpoint(&c, where, bytes, size, &p), &p)) return;
    if (c.vocab > 4096 || c.layers > 64 || c.dim > 1024) return;
    bytes = from_checkpoint(where, bytes, size, NULL, 1, &size);
    memset(&m, 0, sizeof m);
    if (is_accepted(read_bundle(&m, where, bytes, size, &q), &q)) run_model(&m);
    close_model(&m);
}

/* Lines are the words of a command line. */
static void use_options(unsigned char *bytes, size_t size)
{
    static char *text, *argv[64];
    const char *a_text = NULL, *input = NULL, *output = NULL, *list = "g4,g3", *word = "one", *rest[2];
    int whole = 3, flag = 1, argc = 0;
    double real = 0.5;
    const option options[] = {
        OPT_TEXT("prompt", 'p', "TEXT", a_text, "a text"), OPT_INPUT("calib", 'c', "FILE", input, "a file"),
        OPT_OUTPUT("out", 'o', "FILE", output, "another"), OPT_LIST("formats", 0, "LIST", list, "a list"),
        OPT_WORD("kind", 'k', "one|two|three", word, "a word"),
            OPT_WHOLE("tokens", 'n', "N", whole, 1, 2147483647, "a number"),
        OPT_REAL_OR("damping", 'd', "X", real, 0, 1, -1, "another"), OPT_SWITCH("fold", 0, flag, "a switch"), OPT_END
    };
    free(text);
    text = as_text(bytes, size);
    for (char *at = text; argc < 63 && *at;) {
        argv[argc++] = at;
        at += strcspn(at, "\n");
        if (*at) *at++ = 0;
    }
    argv[argc] = NULL;
    kernels_name = NULL;
    (void)parse(argc, argv, "fuzz INPUT [OUTPUT] [options]", options, rest, 0, 2, 1);
    if (whole < 1 || !((real >= 0 && real <= 1) || (real >= -1 && real <= -1)) || flag < 0 || flag > 1)
        broken("a value out of its range");
    if (!is_word_of("one|two|three", word) || !is_list(list) || (input && !*input) || (output && !*output))
        broken("a value that is none of its kind");
    for (char item[ITEM]; next_item(&list, item);) (void)read_activations(item);
}

static void use_words(unsigned char *bytes, size_t size)
{
    char *text = as_text(bytes, size);
    words w = { NULL, 0, 0 };
    problem p = { { NULL, 0, 0 } };
    llmq_transform t;
    uint32_t number;
    double real;
    (void)say_kind(&w, bytes, size);
    w.n = 0;
    show(&w, (const char *)bytes, size, 1);
    if (!is_text((const unsigned char *)w.s, w.n)) broken("controls are shown");
    free(w.s);
    (void)is_accepted(parse_steps(&t, text, &p), &p);
    if (whole_number(text, strlen(text), 1000, &number) && number > 1000) broken("a number out of its range");
    if (real_number(text, strlen(text), &real) && !(real - real >= 0)) broken("a number that is none");
    free(text);
}

static const struct { const char *name; void (*use)(unsigned char *bytes, size_t size); } readers[] = {
    { "recipe", use_recipe }, { "alphas", use_alphas }, { "sums", use_sums }, { "llama2c", use_tokenizer },
    { "model", use_model }, { "checkpoint", use_checkpoint }, { "options", use_options }, { "words", use_words }
};
enum { READERS = sizeof readers / sizeof *readers };

static int reader(void)
{
    const char *name = getenv("FUZZ_READER");
    for (int i = 0; name && i < READERS; i++)
        if (strcmp(readers[i].name, name) == 0) return i;
    fprintf(stderr, "FUZZ_READER names a reader; it is one of:");
    for (int i = 0; i < READERS; i++) fprintf(stderr, " %s", readers[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int which = -1;
    static unsigned char *copy;
    if (which < 0) {
        which = reader();
        if (!freopen("/dev/null", "w", stdout)) exit(2);
    }
    free(copy); /* of an input that ended with exit() */
    copy = (unsigned char *)malloc(size ? size : 1); /* exactly as much, for the sanitizer */
    if (!copy) exit(2);
    if (size) memcpy(copy, data, size);
    if (setjmp(fuzz_back) == 0) readers[which].use(copy, size);
    return 0;
}

/* ---- without libFuzzer ----------------------------------------------------------------------- */
#ifdef FUZZ_REPLAY

typedef struct seed { unsigned char *bytes; size_t size; } seed;

static seed read_seed(const char *path)
{
    seed s = { NULL, 0 };
    FILE *f = fopen(path, "rb");
    long size = -1;
    if (f && fseek(f, 0, SEEK_END) == 0) size = ftell(f);
    if (size < 0 || fseek(f, 0, SEEK_SET)) return perror(path), exit(2), s;
    s.size = (size_t)size;
    s.bytes = (unsigned char *)use_memory(s.size);
    if (fread(s.bytes, 1, s.size, f) != s.size) return perror(path), exit(2), s;
    fclose(f);
    return s;
}

static uint32_t fuzz_draws;
static uint32_t draw_below(uint32_t n) { return (uint32_t)((uint64_t)llmq_random(77, fuzz_draws++) * n >> 32); }

/* Words and numbers that readers look for, or that are at the ends of ranges. */
static const char *const tokens[] = {
    "layers.", ".wq", "0", "-1", "65536", "4294967296", "18446744073709551615", "1e400", "nan", "inf", "\n", " ", "#",
    "# model 00000000", ",", ":", "+", "g4", "t3", "v2n20", "rtn4", "hadamard", "--", "-", "=", "\x9b", "\xff",
    "sense.", "llama.", "lm.", "LTOK", "tokenizer", "\xff\xff\xff\xff", "\xff\xff\xff\x7f"
};

/* Changes input[*size] in one place; it has room for `room` bytes. */
static void change(unsigned char *input, size_t *size, size_t room, const seed *other)
{
    const size_t n = *size, at = n ? draw_below((uint32_t)n) : 0;
    size_t length = 1 + draw_below(8), from;
    const char *token = tokens[draw_below(sizeof tokens / sizeof *tokens)];
    switch (draw_below(7)) {
    case 0: if (n) input[at] = (unsigned char)(input[at] ^ 1u << draw_below(8)); break;
    case 1: if (n) input[at] = (unsigned char)draw_below(256); break;
    case 2: for (length = strlen(token), from = 0; from < length && at + from < n; from++) input[at + from] =
        (unsigned char)token[from]; break;
    case 3: /* a token is put in */
        length = strlen(token);
        if (n + length > room) break;
        memmove(input + at + length, input + at, n - at);
        memcpy(input + at, token, length);
        *size = n + length;
        break;
    case 4: /* a piece is left out */
        if (draw_below(4) == 0) length = 1 + draw_below((uint32_t)n + 1);
        if (length > n - at) length = n - at;
        memmove(input + at, input + at + length, n - at - length);
        *size = n - length;
        break;
    case 5: /* a piece of another seed */
        if (other->size == 0 || n == 0) break;
        from = draw_below((uint32_t)other->size);
        length = 1 + draw_below(64);
        if (length > n - at) length = n - at;
        if (length > other->size - from) length = other->size - from;
        memcpy(input + at, other->bytes + from, length);
        break;
    default: if (n >= 4) memset(input + (at > n - 4 ? n - 4 : at) / 4 * 4, draw_below(2) ? 0xff : 0, 4); break;
    }
}

static int damage_seeds(uint32_t n, char **paths, int count)
{
    seed *seeds = (seed *)use_memory((size_t)count * sizeof *seeds);
    size_t room = 0;
    unsigned char *input;
    for (int i = 0; i < count; i++) {
        seeds[i] = read_seed(paths[i]);
        if (seeds[i].size > room) room = seeds[i].size;
    }
    room += 256;
    input = (unsigned char *)use_memory(room);
    for (uint32_t i = 0; i < n; i++) {
        const seed *s = &seeds[draw_below((uint32_t)count)];
        size_t size = s->size;
        if (size) memcpy(input, s->bytes, size);
        for (uint32_t k = i == 0 ? 0 : 1 + draw_below(4); k > 0; k--)
            change(input, &size, room, &seeds[draw_below((uint32_t)count)]);
        (void)LLVMFuzzerTestOneInput(input, size);
    }
    fprintf(stderr, "fuzz_tool: %u inputs\n", n);
    return 0;
}

static int write_small(const char *path, int is_checkpoint)
{
    enum { DIM = 8, HIDDEN = 12, LAYERS = 2, HEADS = 2, VOCAB = 262, CONTEXT = 16 };
    static const int32_t shape[7] = { DIM, HIDDEN, LAYERS, HEADS, HEADS, VOCAB, CONTEXT };
    FILE *f = fopen(path, "wb");
    uint8_t b[8];
    if (!f) return perror(path), 1;
    if (is_checkpoint) {
        const uint32_t weights = VOCAB * DIM + LAYERS * (2 * DIM + 4 * DIM * DIM + 3 * DIM * HIDDEN) + DIM;
        for (int i = 0; i < 7; i++) put(b, 4, (uint32_t)shape[i]), fwrite(b, 4, 1, f);
        for (uint32_t i = 0; i < weights + CONTEXT * DIM / HEADS; i++) {
            const uint32_t k = i - weights, half = DIM / HEADS / 2, table = k / (CONTEXT * half),
                position = k / half % CONTEXT, pair = k % half;
            const double angle = position * pow(10000.0, -2.0 * pair / (DIM / HEADS));
            const float x = i < weights ? (float)(llmq_random(1, i) % 2001) / 1000 - 1
                            : (float)(table ? sin(angle) : cos(angle));
            uint32_t u;
            memcpy(&u, &x, 4);
            put(b, 4, u), fwrite(b, 4, 1, f);
        }
    } else {
        put(b, 4, 8), fwrite(b, 4, 1, f);
        for (int id = 0; id < VOCAB; id++) {
            static const char *const words_of[6] = { "<unk>", "\n<s>\n", "\n</s>\n", " the", "in", "g" };
            char piece[16];
            const float score = (float)-id;
            uint32_t u;
            if (id < 3 || id > 258) snprintf(piece, sizeof piece, "%s", words_of[id < 3 ? id : id - 256]);
            else snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)id - 3);
            memcpy(&u, &score, 4);
            put(b, 4, u), put(b + 4, 4, strlen(piece));
            fwrite(b, 8, 1, f), fwrite(piece, strlen(piece), 1, f);
        }
    }
    return fclose(f) ? (perror(path), 1) : 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "-l") == 0) {
        for (int i = 0; i < READERS; i++) printf("%s\n", readers[i].name);
        return 0;
    }
    if (argc == 3 && (strcmp(argv[1], "-c") == 0 || strcmp(argv[1], "-t") == 0))
        return write_small(argv[2], argv[1][1] == 'c');
    if (argc > 3 && strcmp(argv[1], "-n") == 0)
        return damage_seeds((uint32_t)strtoul(argv[2], NULL, 10), argv + 3, argc - 3);
    for (int i = 1; i < argc; i++) {
        seed s = read_seed(argv[i]);
        (void)LLVMFuzzerTestOneInput(s.bytes, s.size);
        fprintf(stderr, "%s: ok\n", argv[i]);
    }
    return 0;
}
#endif
