/* exact.h - a fuzzer's target for a reader of bytes, after llmq.h

   A reader's target has one function `use`, which opens the bytes and uses all that they hold. It
   sets *opened to the status of the first call, and returns NULL, or the promise that was broken.
   Tests use readers by the same function. */
typedef const char *(*exact_use)(const unsigned char *bytes, size_t size, llmq_status *opened);

/* A copy that ends where its memory does, so that the sanitizer sees each byte too many. */
static unsigned char *copy_of(const void *bytes, size_t size)
{
    unsigned char *copy = (unsigned char *)malloc(size ? size : 1);
    if (!copy) exit(2);
    if (size) memcpy(copy, bytes, size);
    return copy;
}

/* Uses such a copy. */
static const char *use_exactly(exact_use use, const unsigned char *bytes, size_t size, llmq_status *opened)
{
    unsigned char *copy = copy_of(bytes, size);
    const char *broken = use(copy, size, opened);
    free(copy);
    return broken;
}

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Defines the target. name: of the program, for the message. */
#define EXACT_TARGET(name, use) \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) \
    { \
        llmq_status opened; \
        const char *broken = use_exactly(use, data, size, &opened); \
        if (!broken) return 0; \
        fprintf(stderr, "%s: %s\n", name, broken); \
        abort(); \
    }
