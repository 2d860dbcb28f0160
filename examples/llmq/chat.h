/* chat.h - the command chat: a conversation with a model, in the form of its chat template. A part of
   the tool llmq.c, not a header for others. */

/* Names of templates, from TOKENIZER_CHAT_CHATML on; the last is for models that have not been trained
   for conversations. */
#define TEMPLATES "chatml|smollm|qwen|llama3|gemma|llama2|mistral1|mistral3|plain"
#define TEMPLATE_PLAIN TOKENIZER_CHATS

static uint32_t template_of(const char *name)
{
    uint32_t chat = TOKENIZER_CHAT_CHATML;
    const char *w = TEMPLATES;
    for (; strcspn(w, "|") != strlen(name) || strncmp(w, name, strlen(name)) != 0; chat++) w = strchr(w, '|') + 1;
    return chat < TOKENIZER_CHAT_OTHER ? chat : TEMPLATE_PLAIN;
}

typedef struct id_list {
    uint32_t *ids;
    size_t n, room;
} id_list;

/* Room for the ids of a text of so many bytes: a space can be three of them. */
static void need_ids(id_list *l, size_t bytes)
{
    if (bytes > SIZE_MAX / 64) fail("a turn of %zu bytes is too long", bytes);
    if (l->room - l->n >= 3 * bytes + 3) return;
    l->room = l->n + 3 * bytes + 3;
    l->ids = (uint32_t *)realloc(l->ids, l->room * sizeof *l->ids);
    if (!l->ids) fail("no memory for %zu tokens", l->room);
}

/* A conversation. What was said stays in the cache, so that each turn is read once. */
typedef struct chat {
    continuation text;
    uint32_t form;      /* TOKENIZER_CHAT_... or TEMPLATE_PLAIN */
    const char *system; /* NULL: none */
    uint32_t length;    /* most tokens of an answer */
    uint32_t turns;
    int ended;          /* how the last answer did */
    id_list turn;       /* what the model reads next */
} chat;

/* Adds the ids of a turn. */
static void add_turn(chat *c, const tokenizer_turn *turn)
{
    const tokenizer *t = &c->text.m->tokens;
    const size_t need = tokenizer_chat_work_size(t, turn);
    size_t count;
    void *work;
    llmq_status status;
    if (need == 0) fail("a turn of %zu bytes is too long", turn->length);
    need_ids(&c->turn, turn->length + turn->system_length + 256); /* no template has more of its own */
    work = allocate(need);
    status = tokenizer_chat(t, turn, c->turn.ids + c->turn.n, c->turn.room - c->turn.n, &count, work, need);
    if (status == LLMQ_E_NOT_FOUND) fail("the tokenizer has not all tokens of the chat template");
    check(status, "the tokens of the chat template");
    c->turn.n += count;
    free(work);
}

/* The end of the last answer, what was said, and the beginning of an answer. */
static void add_turns(chat *c, const char *said, size_t length)
{
    tokenizer_turn turn;
    memset(&turn, 0, sizeof turn);
    if (c->turns > 0) {
        turn.turn = TOKENIZER_TURN_END;
        add_turn(c, &turn);
    } else if (c->system) {
        turn.system = c->system, turn.system_length = strlen(c->system);
    }
    turn.turn = TOKENIZER_TURN_USER, turn.first = c->turns == 0;
    turn.text = said, turn.length = length;
    add_turn(c, &turn);
    memset(&turn, 0, sizeof turn);
    turn.turn = TOKENIZER_TURN_REPLY;
    add_turn(c, &turn);
}

/* The same as lines of a text: the system's, then "User: ..." and "Assistant: ...". */
static void add_lines(chat *c, const char *said, size_t length)
{
    const loaded *m = c->text.m;
    const int is_first = c->turns == 0;
    words text = { NULL, 0, 0 };
    size_t need, count;
    void *work;
    if (!is_first || c->system) say(&text, "%s\n", is_first ? c->system : "");
    say(&text, "User: ");
    append(&text, said, length);
    say(&text, "\nAssistant:");
    need_ids(&c->turn, text.n + 1);
    if (is_first && begins_with_bos(m)) c->turn.ids[c->turn.n++] = bos_of(m);
    work = allocate(need = tokenizer_work_size(&m->tokens, text.n + 1));
    check(tokenizer_encode(&m->tokens, text.s, text.n, is_first ? 0 : TOKENIZER_CONTINUES, c->turn.ids + c->turn.n,
                           c->turn.room - c->turn.n, &count, work, need), "the tokens of the turn");
    c->turn.n += count;
    free(work);
    free(text.s);
}

/* Takes a turn of the user, and prints the model's. A last token that the model has made may still have
   to be read, if it is no end. */
static void answer(chat *c, const char *said, size_t length)
{
    const uint32_t positions = positions_of(c->text.m), room = positions - c->text.position;
    c->turn.n = 0;
    need_ids(&c->turn, 1);
    if (c->turns > 0 && c->ended != TEXT_ENDED) c->turn.ids[c->turn.n++] = c->text.last;
    if (c->form == TEMPLATE_PLAIN) add_lines(c, said, length);
    else add_turns(c, said, length);
    if (c->turn.n > room)
        fail("the turn has %zu tokens, and of the model's context of %u tokens %u are left; --kv-window N goes on "
             "beyond it", c->turn.n, positions, room);
    read_tokens(&c->text, c->turn.ids, (uint32_t)c->turn.n);
    c->ended = make_text(&c->text, c->length);
    c->turns++;
    printf("\n");
    flush_output();
    if (c->ended == TEXT_IS_CUT)
        fprintf(stderr, "llmq: the answer is cut after %u tokens; --length N makes it longer\n", c->length);
    if (c->ended == TEXT_FULL)
        fprintf(stderr, "llmq: the context of %u tokens is full; --kv-window N goes on beyond it\n", positions);
}

/* The next line of standard input without its end; 0 behind the last. */
static int next_said(words *line)
{
    int c;
    line->n = 0;
    append(line, "", 0);
    while ((c = getc(stdin)) != EOF && c != '\n') {
        const char byte = (char)c;
        append(line, &byte, 1);
    }
    if (ferror(stdin)) fail("cannot read standard input: %s", strerror(errno));
    if (line->n && line->s[line->n - 1] == '\r') line->s[--line->n] = 0;
    return c != EOF || line->n > 0;
}

/* Turns from standard input, a line each. Empty lines are none. */
static void converse(chat *c)
{
    const int is_shown = is_terminal(stdin) && is_terminal(stdout);
    words line = { NULL, 0, 0 };
    for (;;) {
        if (is_shown) print_bytes("> ", 2), flush_output();
        if (!next_said(&line)) break;
        if (line.n) answer(c, line.s, line.n);
    }
    if (is_shown) print_bytes("\n", 1), flush_output();
    free(line.s);
}

/* The template of a conversation: the one that was named, or the tokenizer's own. */
static void choose_template(chat *c, loaded *m, const char *path, const char *name, const char *system)
{
    static const char advice[] = "--template NAME says it, and 'llmq run' continues a text";
    if (!m->has_tokenizer) fail("%s has no tokenizer, and so no chat template, which a conversation needs", path);
    c->form = name ? template_of(name) : m->tokens.chat;
    if (c->form == TOKENIZER_CHAT_NONE)
        fail("%s: its tokenizer names no chat template (tokenizer.chat_template); %s", path, advice);
    if (c->form == TOKENIZER_CHAT_OTHER)
        fail("%s: its chat template (tokenizer.chat_template) is none that is known here; %s", path, advice);
    m->tokens.chat = c->form == TEMPLATE_PLAIN ? TOKENIZER_CHAT_NONE : c->form;
    c->text.one_line = c->form == TEMPLATE_PLAIN;
    c->system = !system ? tokenizer_chat_system(&m->tokens) : *system ? system : NULL;
}

static int command_chat(int argc, char **argv)
{
    const char *rest[1], *prompt = NULL, *system = NULL, *name = NULL;
    static const char usage[] = "chat MODEL [options]";
    int length = 512;
    run_options o = default_run;
    const option options[] = {
        OPT_TEXT("prompt", 'p', "TEXT", prompt, "the only turn; else turns are the lines of standard input"),
        OPT_TEXT("system", 0, "TEXT", system, "what stands before all turns; '': nothing, else what the template has"),
        OPT_WORD("template", 0, TEMPLATES, name,
                 "the chat template, in place of the tokenizer's own; plain: lines with User: and Assistant:"),
        OPT_WHOLE("length", 'n', "N", length, 0, MOST_TOKENS,
                  "most tokens of an answer, 0: as many as there is room for"),
        RUN_OPTIONS(o),
        OPT_END
    };
    loaded m;
    chat c;
    parse(argc, argv, usage, options, rest, 1, 1, -1);
    if (!prompt && strcmp(rest[0], "-") == 0)
        misuse_together(usage, options, "the model and what is said cannot both be standard input; --prompt says it");
    open_run(&m, rest[0], NULL, 1, &o);
    memset(&c, 0, sizeof c);
    begin_continuation(&c.text, &m, &o.how);
    choose_template(&c, &m, rest[0], name, system);
    c.length = length ? (uint32_t)length : UINT32_MAX;
    if (prompt) answer(&c, prompt, strlen(prompt));
    else converse(&c);
    if (c.turns) print_speeds(&c.text);
    end_continuation(&c.text);
    free(c.turn.ids);
    return 0;
}
