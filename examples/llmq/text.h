/* text.h - text that grows, numbers in text, and text from files that is shown. A part of the
   tool llmq.c, not a header for others. */

/* ---- text that grows ------------------------------------------------------------------------- */

/* All text whose length depends on a file is made with this. s ends with a 0; NULL: empty. */
typedef struct words {
    char *s;
    size_t n, room;
} words;

static void out_of_words(void) /* fail() itself makes texts */
{
    fputs("llmq: no memory for a text\n", stderr);
    exit(1);
}

static void say_arguments(words *w, const char *format, va_list a)
{
    va_list again;
    int n;
    va_copy(again, a);
    n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n >= 0 && ((size_t)n >= w->room - w->n || !w->s)) {
        w->room = 2 * w->room + (size_t)n + 64;
        w->s = (char *)realloc(w->s, w->room);
    }
    if (n < 0 || !w->s) out_of_words();
    (void)vsnprintf(w->s + w->n, w->room - w->n, format, a);
    w->n += (size_t)n;
}

static void say(words *w, const char *format, ...)
{
    va_list a;
    va_start(a, format);
    say_arguments(w, format, a);
    va_end(a);
}

/* Bytes, zeros among them too. */
static void append(words *w, const char *s, size_t n)
{
    if (n >= w->room - w->n || !w->s) {
        w->room = 2 * w->room + n + 64;
        w->s = (char *)realloc(w->s, w->room);
        if (!w->s) out_of_words();
    }
    memcpy(w->s + w->n, s, n);
    w->n += n;
    w->s[w->n] = 0;
}

/* What is wrong with something that is read. Readers of files say it here, and their callers end
   the program or do not. */
typedef struct problem {
    words what;
} problem;

/* Says it, of the first problem only; returns 0, as readers do. */
static int wrong(problem *p, const char *format, ...)
{
    va_list a;
    if (p->what.n) return 0;
    va_start(a, format);
    say_arguments(&p->what, format, a);
    va_end(a);
    return 0;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* A whole number in s[n]: digits alone, no sign, no zeros in front, at most `most`. Returns whether it is one. */
static int whole_number(const char *s, size_t n, uint32_t most, uint32_t *number)
{
    uint32_t v = 0;
    if (n == 0 || (n > 1 && s[0] == '0')) return 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t digit = (uint32_t)(s[i] - '0');
        if (s[i] < '0' || s[i] > '9' || v > most / 10 || digit > most - 10 * v) return 0;
        v = 10 * v + digit;
    }
    *number = v;
    return 1;
}

/* A finite number that is all of s[n]. */
static int real_number(const char *s, size_t n, double *number)
{
    char copy[64], *end;
    if (n == 0 || n >= sizeof copy || !strchr("+-.0123456789", s[0])) return 0; /* no spaces, nan or inf */
    memcpy(copy, s, n);
    copy[n] = 0;
    *number = strtod(copy, &end);
    return *end == 0 && end != copy && *number - *number == 0;
}

/* ---- lines and fields ------------------------------------------------------------------------ */

typedef struct span {
    const char *s;
    size_t n;
} span;

/* The next line of text[size] from *at on, without its end; 0 after the last. */
static int next_line(const char *text, size_t size, size_t *at, span *line)
{
    const char *end;
    if (*at >= size) return 0;
    line->s = text + *at;
    end = (const char *)memchr(line->s, '\n', size - *at);
    line->n = end ? (size_t)(end - line->s) : size - *at;
    *at += line->n + 1;
    if (line->n && line->s[line->n - 1] == '\r') line->n--;
    return 1;
}

/* Fields between blanks, at most `most` of them into field; returns how many there are, most + 1 if there are more. */
static int split_fields(span line, span *field, int most)
{
    int count = 0;
    for (size_t i = 0; i < line.n;) {
        size_t from;
        while (i < line.n && (line.s[i] == ' ' || line.s[i] == '\t')) i++;
        if (i == line.n) break;
        if (count == most) return most + 1;
        for (from = i; i < line.n && line.s[i] != ' ' && line.s[i] != '\t';) i++;
        field[count].s = line.s + from, field[count++].n = i - from;
    }
    return count;
}

static int span_is(span a, const char *s) { return a.n == strlen(s) && memcmp(a.s, s, a.n) == 0; }

/* ---- showing --------------------------------------------------------------------------------- */

/* Bytes of the character that s[n] begins with, and its code; 0 if it is not right UTF-8. */
static size_t character(const unsigned char *s, size_t n, uint32_t *code)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
    if (length == 0 || length > n) return 0;
    *code = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    return *code < least[length] || (*code >= 0xd800 && *code < 0xe000) || *code > 0x10ffff ? 0 : length;
}

/* May a terminal do something else with it than draw it where it stands? Controls of both sets,
   directions of writing, lines, joiners, marks of byte order and tags. */
static int is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || (c >= 0x200b && c <= 0x200f)
           || (c >= 0x2028 && c <= 0x202e)
           || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb)
               || (c >= 0xe0000 && c <= 0xe007f);
}

/* Text of somebody else, s[n], as a terminal may have it: what is no character or could move the
   cursor is written as \x9b or \u202e. lines: ends of lines and tabs stay as they are. */
static void show(words *w, const char *s, size_t n, int lines)
{
    append(w, "", 0);
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t code = 0;
        length = character((const unsigned char *)s + i, n - i, &code);
        if (length == 0) {
            say(w, "\\x%02x", (unsigned)(unsigned char)s[i]);
            length = 1;
        } else if (is_control(code) && !(lines && (code == '\n' || code == '\t'))) {
            say(w, code < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)code);
        } else {
            append(w, s + i, length);
        }
    }
}

/* A name or another short text from a file, for one printf: good until the eighth call after this one. */
static const char *shown(const char *s)
{
    static words ring[8];
    static unsigned next;
    words *w = &ring[next++ % 8];
    w->n = 0;
    show(w, s, strlen(s), 0);
    return w->s;
}
