/* inspect.h - the command inspect: what a bundle holds, as a list. A part of the tool llmq.c,
   not a header for others. */

/* ---- looking --------------------------------------------------------------------------------- */

static void print_formats(void)
{
    llmq_format f;
    printf("%-8s %4s %6s %14s\n", "format", "p", "n", "code bits/w");
    for (uint32_t i = 0; llmq_format_at(&f, i) == LLMQ_OK; i++)
        printf("%-8s %4u %6u %14.3f\n", f.name, f.p, f.n, (double)f.bits / f.p);
}

static void print_value(const llmq_entry *e)
{
    const unsigned char *b = (const unsigned char *)e->data;
    uint32_t u = 0;
    float x;
    printf("value      %-24s ", shown(e->name));
    if (e->type == LLMQ_VALUE_TEXT) {
        words text = { NULL, 0, 0 };
        size_t n = e->size < 60 ? e->size : 60, back = 0;
        while (n < e->size && back < 3 && (b[n - back] & 0xc0) == 0x80) back++; /* not within a character */
        show(&text, (const char *)b, n - back, 0);
        printf("%s%s\n", text.s, n < e->size ? " ..." : "");
        free(text.s);
        return;
    }
    if (e->type == LLMQ_VALUE_BYTES) {
        printf("%zu bytes\n", e->size);
        return;
    }
    for (int i = 4; i-- > 0;) u = u << 8 | b[i];
    memcpy(&x, &u, 4);
    if (e->type == LLMQ_VALUE_U32) printf("%u\n", u);
    else printf("%g\n", (double)x);
}

static void print_entry(const llmq_bundle *b, const llmq_entry *e)
{
    llmq_tensor t;
    if (e->kind == LLMQ_KIND_VALUE) {
        print_value(e);
    } else if (e->kind == LLMQ_KIND_TENSOR) {
        check(llmq_bundle_tensor(b, e->name, &t), e->name);
        printf("tensor     %-24s %6u x %-6u %-7s", shown(e->name), e->rows, e->cols, e->format.name);
        if (e->format.points) printf(" group %-5u", e->format.group);
        else printf("            ");
        printf(" %7.3f bpw %10zu bytes", 8.0 * (double)e->size / ((double)e->rows * e->cols), e->size);
        if (e->t2 >= 0) printf("  t2 %.6f", (double)e->t2);
        if (e->transform) printf("  %s", shown(e->transform));
        if (e->grid) printf("  %s", shown(e->grid));
        printf("\n");
    } else if (e->kind == LLMQ_KIND_TRANSFORM) {
        static const char *const step[5] = { "unknown step", "signed Hadamard", "smooth", "permute", "rotate" };
        const unsigned char *s = (const unsigned char *)e->data;
        printf("transform  %-24s", shown(e->name));
        for (size_t i = 4, end = 4 + 8 * (size_t)s[0]; i < end; i += 8) { /* at most 8 steps */
            unsigned block = s[i + 2] | (unsigned)s[i + 3] << 8,
                arg = (unsigned)s[i + 4] | (unsigned)s[i + 5] << 8 | (unsigned)s[i + 6] << 16
                | (unsigned)s[i + 7] << 24;
            printf("%s %s", i > 4 ? "," : "", step[s[i] <= LLMQ_STEP_ROTATE ? s[i] : 0]);
            if (s[i] == LLMQ_STEP_HADAMARD) printf(" (blocks up to %u, seed %u)", block, arg);
            else if (s[i] == LLMQ_STEP_ROTATE)
                printf(" (blocks of %u, %s)", block, arg == 1 ? "one matrix" : "a matrix each");
        }
        printf("\n");
    } else {
        printf("%-10s %-24s %zu bytes\n", e->kind == LLMQ_KIND_GRID ? "grid" : "unknown", shown(e->name), e->size);
    }
}

static int command_inspect(int argc, char **argv)
{
    const char *rest[1] = { NULL };
    int formats = 0, is_bundle;
    const option options[] = {
        OPT_SWITCH("formats", 0, formats, "list the built-in formats instead"),
        OPT_END
    };
    llmq_bundle b;
    llmq_error error;
    llmq_entry e;
    size_t size, tensors = 0;
    const unsigned char *bytes;
    double weights = 0, stored = 0;
    (void)parse(argc, argv, "inspect MODEL | inspect --formats", options, rest, 0, 1, -1);
    if (formats) {
        print_formats();
        return 0;
    }
    if (!rest[0]) fail("the model is missing: llmq inspect MODEL");
    bytes = read_as_bundle(rest[0], &size, &is_bundle);
    if (!is_bundle) {
        problem p = { { NULL, 0, 0 } };
        wrong_kind(&p, rest[0], "is no .llmq bundle", bytes, size);
        stop_if(&p);
    }
    if (llmq_bundle_open(&b, bytes, size, &error)) {
        problem p = { { NULL, 0, 0 } };
        wrong_bundle(&p, rest[0], bytes, &error);
        stop_if(&p);
    }
    for (uint32_t i = 0; i < b.count; i++) {
        check(llmq_bundle_at(&b, i, &e), "reading an entry");
        print_entry(&b, &e);
        if (e.kind != LLMQ_KIND_TENSOR) continue;
        tensors++;
        weights += (double)e.rows * e.cols;
        stored += (double)e.size;
    }
    printf("%zu bytes, %u entries, %zu tensors of %.0f numbers in all, %.3f bits each; ", b.size, b.count, tensors,
           weights, weights > 0 ? 8 * stored / weights : 0);
    if (foreign_of(bytes)) {
        printf("as a bundle, which it is not\n");
        return 0;
    }
    if (llmq_bundle_verify(&b, &error)) {
        printf("DAMAGED: %s (at byte %zu)\n", llmq_status_text(error.status), error.offset);
        return 1;
    }
    printf("checksums are right\n");
    return 0;
}
