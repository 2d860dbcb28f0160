/* options.h - the options of commands. A part of the tool llmq.c, not a header for others.

   An option is described once: its name and letter, its argument, what that is (a text, a file
   to read or to write, one of some words, a list, a whole number or another in a range, 0 or 1),
   where it goes, whose value there is the default, and a line of help. Reading it, refusing it
   in words, and --help come from the description. As getopt_long has it: --name VALUE,
   --name=VALUE, -n VALUE, -nVALUE, options before and behind other arguments, "--" before
   arguments that begin with a "-", the last of several; names are not shortened. */

/* ---- numbers and lists in texts -------------------------------------------------------------- */

/* How long the number at the beginning of a text is: digits, a point, an exponent; no blanks,
   hexadecimal, inf or nan. 0: there is none. */
static size_t number_length(const char *text)
{
    const char *at = text + (*text == '-' || *text == '+');
    size_t digits = strspn(at, "0123456789"), more = 0;
    at += digits;
    if (*at == '.') {
        more = strspn(at + 1, "0123456789");
        at += digits + more ? 1 + more : 0;
    }
    if (digits + more == 0) return 0;
    if (*at == 'e' || *at == 'E') {
        const char *exponent = at + 1 + (at[1] == '-' || at[1] == '+');
        digits = strspn(exponent, "0123456789");
        if (digits) at = exponent + digits;
    }
    return (size_t)(at - text);
}

/* The number at the beginning of a text, and in *end what is behind it. 0: there is none in this range. */
static int read_number(const char *text, double least, double most, double *value, const char **end)
{
    const size_t n = number_length(text);
    *value = n ? strtod(text, NULL) : 0;
    *end = text + n;
    return n && *value >= least && *value <= most;
}

/* The same for whole numbers. */
static int read_whole(const char *text, double least, double most, int *value, const char **end)
{
    double v;
    const int is_one = read_number(text, least, most, &v, end) && v == floor(v) && v >= -2147483648.0
                       && v <= 2147483647.0;
    if (is_one) *value = (int)v;
    return is_one;
}

/* "64": columns of a group, wherever a text names them. */
static int read_group(const char *text)
{
    const char *end;
    int group;
    if (!read_whole(text, 0, 1024, &group, &end) || *end || (group && group < 32))
        fail("a group is 0 or a whole number from 32 to 1024, not '%s'", text);
    return group;
}

#define ITEM 96

/* The next item of a comma list into item[ITEM]; 0 at its end. Lists have at least one item, and
   none is empty: options check that. */
static int next_item(const char **list, char *item)
{
    size_t n = strcspn(*list, ",");
    if (**list == 0) return 0;
    if (n == 0 || n > ITEM - 1) fail("a list is names with commas between them, not '%s'", *list);
    memcpy(item, *list, n);
    item[n] = 0;
    *list += n + ((*list)[n] == ',');
    return 1;
}

static int is_list(const char *text)
{
    while (1) {
        const size_t n = strcspn(text, ",");
        if (n == 0 || n > ITEM - 1) return 0;
        if (text[n] == 0) return 1;
        text += n + 1;
    }
}

/* ---- descriptions ---------------------------------------------------------------------------- */

#define KV_HELP "keys and values in the cache: 2 3 4 5 6 8 bits, rotated by a Hadamard; 16 or 32: float"
#define ABITS_HELP \
    "activations of quantized layers: 2 ... 8, 32: float; then :zero :symmetric :token :batch :0.9 (clip)"

enum { OPTION_TEXT, OPTION_INPUT, OPTION_OUTPUT, OPTION_LIST, OPTION_WORD, OPTION_WHOLE, OPTION_REAL, OPTION_SWITCH,
       OPTION_HELP, OPTION_VERSION };

typedef struct option {
    const char *name;
    char letter;            /* 0: none */
    const char *argument, *help;
    int kind;
    const char **text;      /* where the value goes: one of these three */
    int *number;
    double *real;
    double least, most;     /* of numbers */
    double also;            /* one that is not among them, but has a meaning; or least again */
    int is_needed;
} option;

/* Name, letter, argument (of a word: the words with | between them), where it goes, range, help.
   A switch is 1 where it is given, and can be given as 0 or 1 too. */
#define OPT_STRING(kind, is_needed, name, letter, argument, to, help) \
    { name, letter, argument, help, kind, &(to), NULL, NULL, 0, 0, 0, is_needed }
#define OPT_TEXT(name, letter, argument, to, help) OPT_STRING(OPTION_TEXT, 0, name, letter, argument, to, help)
#define OPT_INPUT(name, letter, argument, to, help) OPT_STRING(OPTION_INPUT, 0, name, letter, argument, to, help)
#define OPT_OUTPUT(name, letter, argument, to, help) OPT_STRING(OPTION_OUTPUT, 0, name, letter, argument, to, help)
#define OPT_NEEDED_INPUT(name, letter, argument, to, help) OPT_STRING(OPTION_INPUT, 1, name, letter, argument, to, help)
#define OPT_NEEDED_OUTPUT(name, letter, argument, to, help) \
    OPT_STRING(OPTION_OUTPUT, 1, name, letter, argument, to, help)
#define OPT_LIST(name, letter, argument, to, help) OPT_STRING(OPTION_LIST, 0, name, letter, argument, to, help)
#define OPT_WORD(name, letter, words, to, help) OPT_STRING(OPTION_WORD, 0, name, letter, words, to, help)
#define OPT_WHOLE_OR(name, letter, argument, to, least, most, also, help) \
    { name, letter, argument, help, OPTION_WHOLE, NULL, &(to), NULL, least, most, also, 0 }
#define OPT_WHOLE(name, letter, argument, to, least, most, help) \
    OPT_WHOLE_OR(name, letter, argument, to, least, most, least, help)
#define OPT_REAL_OR(name, letter, argument, to, least, most, also, help) \
    { name, letter, argument, help, OPTION_REAL, NULL, NULL, &(to), least, most, also, 0 }
#define OPT_REAL(name, letter, argument, to, least, most, help) \
    OPT_REAL_OR(name, letter, argument, to, least, most, least, help)
#define OPT_SWITCH(name, letter, to, help) \
    { name, letter, "0|1", help, OPTION_SWITCH, NULL, &(to), NULL, 0, 1, 0, 0 }
#define OPT_END { NULL, 0, NULL, NULL, 0, NULL, NULL, NULL, 0, 0, 0, 0 }

/* Options that several commands have. */
#define MOST_TOKENS 2147483647
#define OPT_TOKENIZER(to) OPT_INPUT("tokenizer", 0, "FILE", to, "llama2.c tokenizer (checkpoints only)")
#define OPT_PREFIX(to) OPT_SWITCH("prefix", 0, to, "does this tokenizer put a space before a text?"), OPT_EPSILON
#define OPT_EPSILON \
    OPT_REAL("epsilon", 0, "X", checkpoint_epsilon, 1e-12, 1, \
             "of the model's norms (checkpoints only, which do not say it)")
#define OPT_FORCE { "force", 'f', "", "use results of another model", OPTION_SWITCH, NULL, &force, NULL, 0, 1, 0, 0 }
#define OPT_TOKENS(to, help) OPT_WHOLE("tokens", 'n', "N", to, 0, MOST_TOKENS, help)
#define OPT_THREADS(to) OPT_WHOLE("threads", 't', "N", to, 1, MOST_THREADS, "how many")
#define OPT_WINDOW(to) \
    OPT_WHOLE("window", 0, "N", to, 0, MOST_TOKENS, "tokens a window; 0: 512, or the context if that is less")
#define OPT_KEY(to, help) OPT_TEXT("key", 0, "NAME", to, help)
#define OPT_EFFORT(to) OPT_WORD("effort", 0, "fast|default|best", to, "of the encoder")
#define OPT_GROUP(to, help) OPT_WHOLE_OR("group", 0, "N", to, 32, 1024, 0, help)

static const char *kernels_name; /* --kernels */
static void start_kernels(const char *name);
static void print_version(void);

static const option common_options[] = {
    OPT_TEXT("kernels", 0, "NAME", kernels_name, "which to run on; the results are the same bits, the speed is not"),
    { "help", 'h', "", "this", OPTION_HELP, NULL, NULL, NULL, 0, 0, 0, 0 },
    { "version", 'V', "", "of llmq, and its kernels", OPTION_VERSION, NULL, NULL, NULL, 0, 0, 0, 0 },
    OPT_END
};
static const option writing_options[] = {
    { "force", 'f', "",
      "write even over a file that is read, or over another run's results; use results of another model", OPTION_SWITCH,
      NULL, &force, NULL, 0, 1, 0, 0 },
    OPT_END
};

static int writes_files(const option *o, int output)
{
    for (; o->name; o++)
        if (o->kind == OPTION_OUTPUT) return 1;
    return output >= 0;
}

/* What its values are, in words. */
static const char *range_of(const option *o, char *out, size_t size)
{
    const char *whole = o->kind == OPTION_WHOLE ? "a whole number " : "";
    char also[40] = "";
    if (o->also < o->least || o->also > o->most) snprintf(also, sizeof also, "%.10g or ", o->also);
    if (o->kind == OPTION_WORD) { /* a|b|c: a, b or c */
        size_t n = 0;
        for (const char *w = o->argument; *w && n + 5 < size; w++) {
            if (*w == '|') n += (size_t)snprintf(out + n, size - n, strchr(w + 1, '|') ? ", " : " or ");
            else out[n++] = *w;
        }
        out[n] = 0;
    } else if (o->kind == OPTION_SWITCH) snprintf(out, size, "0 or 1");
    else if (o->kind == OPTION_LIST)
        snprintf(out, size, "a list with commas between its items, none empty or longer than %d letters", ITEM - 1);
    else if (o->kind != OPTION_WHOLE && o->kind != OPTION_REAL) out[0] = 0;
    else snprintf(out, size, "%s%sfrom %.10g to %.10g", also, whole, o->least, o->most);
    return out;
}

static const char *default_of(const option *o, char *out, size_t size)
{
    out[0] = 0;
    if (o->text && *o->text && **o->text) snprintf(out, size, "%s", *o->text);
    if (o->number && *o->argument && ((*o->number >= o->least && *o->number <= o->most) || *o->number == (int)o->also))
        snprintf(out, size, "%d", *o->number);
    if (o->real && ((*o->real >= o->least && *o->real <= o->most) || !(*o->real > o->also || *o->real < o->also)))
        snprintf(out, size, "%g", *o->real);
    return out;
}

/* Words from column `indent` on, in lines of a hundred. */
static void print_wrapped(const char *text, size_t indent)
{
    size_t at = indent;
    while (*text) {
        const size_t n = strcspn(text, " ");
        if (at + n + 1 > 100) {
            printf("\n%*s", (int)indent, "");
            at = indent;
        }
        printf(" %.*s", (int)n, text);
        at += n + 1;
        text += n;
        text += *text == ' ';
    }
    printf("\n");
}

static void print_options(const option *o)
{
    for (; o->name; o++) {
        char line[512], range[256], value[128];
        const size_t room = 27;
        int n = snprintf(line, sizeof line, "  %c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                         o->letter ? "," : " ", o->name, *o->argument ? " " : "", o->argument);
        printf("%-*s", (int)room, line);
        if (n > (int)room) printf("\n%*s", (int)room, "");
        range_of(o, range, sizeof range);
        default_of(o, value, sizeof value);
        if (o->is_needed) snprintf(range, sizeof range, "needed");
        /* the line shows it */
        if (o->kind == OPTION_WORD || o->kind == OPTION_LIST || o->kind == OPTION_SWITCH) range[0] = 0;
        snprintf(line, sizeof line, "%s%s%s%s%s%s%s", o->help, *range || *value ? " (" : "", range,
                 *range && *value ? "; " : "", *value ? "default " : "", value, *range || *value ? ")" : "");
        print_wrapped(line, room);
    }
}

/* ---- near misses ----------------------------------------------------------------------------- */

/* How many letters to add, leave out, change or swap with the next to make one word of another;
   words of less than 32 letters. */
static int word_distance(const char *a, const char *b)
{
    int d[33][33], n = (int)strlen(a), m = (int)strlen(b);
    if (n > 31 || m > 31) return 99;
    for (int i = 0; i <= n; i++) d[i][0] = i;
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            int least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < least) least = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < least) least = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < least)
                least = d[i - 2][j - 2] + 1;
            d[i][j] = least;
        }
    return d[n][m];
}

/* Of names that are offered one after another, the nearest to what was said: the beginning of
   it, or with few letters wrong. */
typedef struct near_miss { const char *said, *name[3]; int count, distance; } near_miss;

static void offer_name(near_miss *best, const char *name)
{
    const size_t n = strlen(best->said);
    int distance = n > 1 && strncmp(name, best->said, n) == 0 ? 1 : word_distance(best->said, name);
    if (distance > (n > 5 ? 2 : 1) || (best->count && distance > best->distance)) return;
    if (best->count && distance < best->distance) best->count = 0;
    best->distance = distance;
    if (best->count < 3) best->name[best->count++] = name;
}

/* "; did you mean A or B?", or nothing */
static const char *near_words(const near_miss *best, const char *dashes, char *out, size_t size)
{
    out[0] = 0;
    if (best->count == 1) snprintf(out, size, "; did you mean %s%s?", dashes, best->name[0]);
    if (best->count == 2)
        snprintf(out, size, "; did you mean %s%s or %s%s?", dashes, best->name[0], dashes, best->name[1]);
    if (best->count == 3)
        snprintf(out, size, "; did you mean %s%s, %s%s or %s%s?", dashes, best->name[0], dashes, best->name[1], dashes,
                 best->name[2]);
    return out;
}

/* ---- reading a command line ------------------------------------------------------------------ */

/* A command line is read twice: the first time finds what is wrong with it, or --help, which
   shows the defaults; the second time keeps values. */
typedef struct command_line {
    const char *usage;
    const option *tables[4]; /* that of the command first */
    int keep, output;
    void (*help)(const struct command_line *c);
} command_line;

static void print_help(const command_line *c)
{
    printf("usage: llmq %s\n\n", c->usage);
    for (int i = 0; c->tables[i]; i++) print_options(c->tables[i]);
    printf("\nA file '-' is standard input or output.\n");
}

static void misuse(const command_line *c, const char *format, ...)
{
    va_list a;
    const int name = c->help == print_help ? (int)strcspn(c->usage, " ") : 0; /* of a command */
    va_start(a, format);
    say_error(format, a);
    va_end(a);
    fprintf(stderr, "usage: llmq %s\n'llmq %.*s%s--help' says more\n", c->usage, name, c->usage, name ? " " : "");
    exit(EXIT_USAGE);
}

/* The option of this name (of n letters), or letter; NULL: there is none. */
static const option *find_option(const command_line *c, const char *name, size_t n, char letter)
{
    for (int i = 0; c->tables[i]; i++)
        for (const option *o = c->tables[i]; o->name; o++)
            if (name ? strlen(o->name) == n && strncmp(o->name, name, n) == 0 : o->letter && o->letter == letter)
                return o;
    return NULL;
}

static void unknown_option(const command_line *c, const char *name, size_t n)
{
    char said[64], words[160];
    near_miss best = { said, { NULL, NULL, NULL }, 0, 0 };
    snprintf(said, sizeof said, "%.*s", (int)(n < 63 ? n : 63), name);
    for (char *s = said; *s; s++)
        if (*s == '_') *s = '-';
    for (int i = 0; c->tables[i]; i++)
        for (const option *o = c->tables[i]; o->name; o++) offer_name(&best, o->name);
    misuse(c, "unknown option --%.*s%s", (int)n, name, near_words(&best, "--", words, sizeof words));
}

static int is_word_of(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
        if (n && strcspn(w, "|") == n && strncmp(w, word, n) == 0) return 1;
    return 0;
}

static void set_option(const command_line *c, const option *o, const char *value)
{
    char range[256];
    const char *end = value;
    double real = 0;
    int number = 0, is_right = 1;
    switch (o->kind) {
    case OPTION_INPUT: case OPTION_OUTPUT: is_right = *value != 0; break;
    case OPTION_LIST: is_right = is_list(value); break;
    case OPTION_WORD: is_right = is_word_of(o->argument, value); break;
    case OPTION_WHOLE: case OPTION_SWITCH: case OPTION_REAL:
        if (!read_number(value, o->least, o->most, &real, &end))
            is_right = end > value && real >= o->also && real <= o->also;
        if (*end || (o->kind != OPTION_REAL && real != floor(real))) is_right = 0;
        if (is_right && o->number) number = (int)real;
        break;
    default: break;
    }
    if (!is_right && (o->kind == OPTION_INPUT || o->kind == OPTION_OUTPUT))
        misuse(c, "--%s needs the name of a file", o->name);
    if (!is_right) misuse(c, "--%s is %s, not '%s'", o->name, range_of(o, range, sizeof range), value);
    if (!c->keep) return;
    if (o->text) *o->text = value;
    if (o->number) *o->number = number;
    if (o->real) *o->real = real;
}

/* An option as it stands in a command line. */
typedef struct given {
    const option *o;
    int off;             /* it is --no-NAME */
    const char *value;   /* the argument behind its "=", or NULL */
    const char *letters; /* the letters behind its own, "" for a long name */
} given;

/* The option that begins at a name without its dashes, or at a letter. */
static given recognize_option(const command_line *c, const char *at, int is_long)
{
    const size_t n = is_long ? strcspn(at, "=") : 1;
    given g = { find_option(c, is_long ? at : NULL, n, *at), 0, NULL, is_long ? "" : at + 1 };
    if (!g.o && is_long && n > 3 && strncmp(at, "no-", 3) == 0) {
        g.o = find_option(c, at + 3, n - 3, 0);
        g.off = g.o && g.o->kind == OPTION_SWITCH;
        if (!g.off) g.o = NULL;
    }
    if (!g.o && is_long) unknown_option(c, at, n);
    if (!g.o) misuse(c, "unknown option -%c", *at);
    if (is_long && at[n] == '=') g.value = at + n + 1;
    return g;
}

/* --help, --version and --no-NAME. */
static void take_without_argument(const command_line *c, const given *g)
{
    if (g->value) misuse(c, "--%s%s takes no argument", g->off ? "no-" : "", g->o->name);
    if (g->off) {
        set_option(c, g->o, "0");
        return;
    }
    if (g->o->kind == OPTION_HELP) c->help(c);
    else print_version();
    exit(0);
}

/* A switch. The next argument is its value if it is 0 or 1. */
static void take_switch(const command_line *c, const given *g, int argc, char **argv, int *i)
{
    const char *next = *i + 1 < argc ? argv[*i + 1] : "", *value = g->value;
    const int is_value = strcmp(next, "0") == 0 || strcmp(next, "1") == 0;
    if (!value && *g->letters == 0 && *g->o->argument && is_value) value = argv[++*i];
    set_option(c, g->o, value ? value : "1");
}

/* An option with an argument, which stands behind "=" or behind the letter, or is the next one. */
static void take_argument(const command_line *c, const given *g, int argc, char **argv, int *i)
{
    const char *value = g->value;
    if (!value && *g->letters) value = g->letters;
    if (!value && ++*i == argc) misuse(c, "--%s needs an argument: %s", g->o->name, g->o->argument);
    set_option(c, g->o, value ? value : argv[*i]);
}

/* One option at argv[*i], which begins with a dash; *i moves on to the last argument that it takes. */
static void read_option(const command_line *c, int argc, char **argv, int *i)
{
    const int is_long = argv[*i][1] == '-';
    const char *at = argv[*i] + 1 + is_long;
    do { /* letters that need no argument can stand together */
        const given g = recognize_option(c, at, is_long);
        at = g.letters;
        if (g.o->kind == OPTION_HELP || g.o->kind == OPTION_VERSION || g.off) take_without_argument(c, &g);
        else if (g.o->kind == OPTION_SWITCH) take_switch(c, &g, argc, argv, i);
        else {
            take_argument(c, &g, argc, argv, i);
            at = "";
        }
    } while (*at);
}

/* The n-th argument that usage names. */
static void missing_argument(const command_line *c, int n)
{
    const char *at = c->usage;
    if (n == c->output) misuse(c, "the output file is missing");
    for (int i = 0; i <= n; i++) at += strcspn(at, " "), at += strspn(at, " ");
    misuse(c, "%.*s is missing", (int)strcspn(at, " "), at);
}

/* Options that are needed and were not given are named together. */
static void check_needed(const command_line *c)
{
    char words[256] = "";
    size_t n = 0;
    int missing = 0;
    for (const option *o = c->tables[0]; o->name; o++)
        if (o->is_needed && !*o->text && n < 200)
            n += (size_t)snprintf(words + n, sizeof words - n, "%s--%.20s %.20s", missing++ ? " and " : "", o->name,
                                  o->argument);
    if (missing) misuse(c, "%s %s needed", words, missing > 1 ? "are" : "is");
}

static void check_files(const command_line *c, const char *const *rest, int n)
{
    const char *input[80];
    int inputs = 0;
    output_count = 0;
    for (int i = 0; i < n; i++) {
        if (i == c->output) outputs[output_count++] = rest[i];
        else input[inputs++] = rest[i];
    }
    for (const option *o = c->tables[0]; o->name; o++) {
        if (o->kind == OPTION_INPUT && *o->text && inputs < 80) input[inputs++] = *o->text;
        if (o->kind == OPTION_OUTPUT && *o->text && output_count < 8) outputs[output_count++] = *o->text;
    }
    for (int i = 0; i < output_count; i++) check_output(outputs[i]);
    for (int i = 0; i < inputs; i++)
        if (strcmp(input[i], "-") != 0) check_not_output(input[i]);
    for (int i = 0; i < output_count; i++)
        for (int k = 0; k < i; k++)
            if (same_file(outputs[i], outputs[k]))
                fail("%s and %s are the same file, and both would be written", outputs[k], outputs[i]);
}

/* Options that do not go together, of a command that takes them otherwise. */
static void misuse_together(const char *usage, const option *options, const char *what)
{
    const command_line c = { usage, { options, common_options, NULL, NULL }, 0, -1, print_help };
    misuse(&c, "%s", what);
}

/* Sets options; what is not one goes to rest, which has room for `most`; returns how many.
   Number `output` of them (from 0; -1: none) is a file that is written, the others are read. */
static int parse(int argc, char **argv, const char *usage, const option *options, const char **rest, int least,
                 int most, int output)
{
    command_line c = { usage, { options, common_options, NULL, NULL }, 0, output, print_help };
    int n = 0;
    if (writes_files(options, output)) c.tables[1] = writing_options, c.tables[2] = common_options;
    for (c.keep = 0; c.keep < 2; c.keep++) {
        int only_rest = 0;
        n = 0;
        for (int i = 0; i < argc; i++) {
            if (!only_rest && strcmp(argv[i], "--") == 0) only_rest = 1;
            else if (!only_rest && argv[i][0] == '-' && argv[i][1]) read_option(&c, argc, argv, &i);
            else if (n == most) misuse(&c, "one argument too many: %s", argv[i]);
            else rest[n++] = argv[i];
        }
    }
    if (n < least) missing_argument(&c, n);
    check_needed(&c);
    start_kernels(kernels_name);
    check_files(&c, rest, n);
    return n;
}
