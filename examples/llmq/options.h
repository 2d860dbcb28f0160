/* options.h - the options of commands. A part of the tool llmq.c, not a header for others. */

/* ---- options ------------------------------------------------------------------------------------------------------- */

#define KV_HELP "keys and values in the cache: 2 3 4 5 6 8 bits, rotated by a Hadamard; 16 or 32: float"
#define ABITS_HELP "activations of quantized layers: 2 ... 8, 32: float; then :zero :symmetric :token :batch :0.9 (clip)"

typedef struct option {
    const char *name, *argument, *help;
    const char **text;   /* where the argument goes: one of these three */
    int *number;
    double *real;
} option;

static void print_options(const char *usage, const option *o)
{
    printf("usage: llmq %s\n\n", usage);
    for (; o->name; o++) {
        printf("  --%s %s%*s %s", o->name, o->argument, (int)(22 - strlen(o->name) - strlen(o->argument)), "", o->help);
        if (o->text && *o->text) printf(" [%s]", *o->text);
        if (o->number) printf(" [%d]", *o->number);
        if (o->real) printf(" [%g]", *o->real);
        printf("\n");
    }
}

/* Sets options; what is not one goes to rest, which has room for `most`; returns how many. */
static int parse(int argc, char **argv, const char *usage, const option *options, const char **rest, int least, int most)
{
    int n = 0;
    for (int i = 0; i < argc; i++) {
        const option *o = options;
        char *end;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_options(usage, options);
            exit(0);
        }
        if (strncmp(argv[i], "--", 2) != 0) {
            if (n == most) fail("one argument too many: %s\nusage: llmq %s", argv[i], usage);
            rest[n++] = argv[i];
            continue;
        }
        while (o->name && strcmp(o->name, argv[i] + 2) != 0) o++;
        if (!o->name) fail("unknown option %s; --help lists them", argv[i]);
        if (++i == argc) fail("--%s needs an argument: %s", o->name, o->argument);
        if (o->text) *o->text = argv[i];
        else {
            double v = strtod(argv[i], &end);
            if (*end || end == argv[i]) fail("--%s needs a number, not '%s'", o->name, argv[i]);
            if (o->real) *o->real = v;
            else if (!(v >= 0 && v <= 2147483647.0) || v != (double)(int)v) fail("--%s needs a whole number that is not negative, not '%s'", o->name, argv[i]);
            else *o->number = (int)v;
        }
    }
    if (n < least) {
        print_options(usage, options);
        fail("%s is missing", n == 0 ? "the model" : "the output file");
    }
    return n;
}
