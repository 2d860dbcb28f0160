/* import.h - a model of a GGUF file or of a safetensors folder, as the entries of a bundle for lm.h -
   public domain or MIT

   Do this in one C or C++ file, after llmq.h, gguf.h, json.h and safetensors.h:
       #define IMPORT_IMPLEMENTATION
       #include "import.h"

   import_open_gguf or import_open_safetensors reads the metadata of a model and looks at the name,
   shape and type of every tensor. import_value and import_tensor then list the entries of its bundle,
   and import_row decodes them a row at a time:

       if (import_open_gguf(&m, parts, count) != LLMQ_OK) puts(m.fault);
       for (i = 0; i < m.values; i++) import_value(&m, i, &entry);      // goes to llmq_bundle_write as it is
       for (i = 0; i < m.tensors; i++)
           if (import_tensor(&m, i, &t) == LLMQ_OK)
               for (row = 0; row < t.rows; row++) import_row(&t, row, out);

   Architectures: Llama 2 and 3, Mistral, SmolLM2 and 3, Qwen2 and 2.5, Qwen3, Gemma 2 and 3 (text),
   Granite (dense); from GGUF also BitNet b1.58; from safetensors also MobileLLM.

   Nothing is ignored that could change results. A key of the architecture, a key of config.json or
   a tensor that is not in the tables below is refused, and m.fault has its name and the reason.
   Experts, adapters, ALiBi, YaRN and every other scaling of RoPE but the linear one and that of
   Llama 3.1 are refused in this way. Keys that do not change results are listed one by one. Where a
   GGUF file leaves a key out, the value is the default of llama.cpp (src/llama-model.cpp and
   src/models/). Where config.json does, it is the default of the configuration class of
   transformers 4.57.

   Rows of wq and wk stay in the order of the file. The value lm.rope_halves tells lm.h that order.

   Files may come from anywhere: gguf.h, json.h and safetensors.h have checked them, and here every
   number and every shape is checked before use. Nothing is allocated or copied. An import_model
   takes 7 kB. Views live as long as the bytes of the files and as the import_model. */
#ifndef IMPORT_H
#define IMPORT_H

#include "../llmq.h"
#include "gguf.h"
#include "json.h"
#include "safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMPORT_MAX_LAYERS 512u
#define IMPORT_MAX_HEAD 1024u /* elements of a head */
#define IMPORT_MAX_VALUES 24u
#define IMPORT_FIELDS 32u     /* numbers that a file may state */

/* A value of the bundle. */
typedef struct import_number {
    const char *name;       /* "lm.dim" */
    uint32_t type;          /* LLMQ_VALUE_U32 or LLMQ_VALUE_F32 */
    unsigned char bits[4];  /* as the bundle stores it */
} import_number;

/* A model. Callers may read the members before `number`. Its address must stay the same: entries
   point into it. */
typedef struct import_model {
    char fault[160];         /* after an error: a name in the file, and why it is refused; else "" */
    const char *family;      /* "llama", "qwen3", ...: as GGUF and config.json name it */
    uint32_t dim, hidden, layers, heads, kv_heads, head, vocab, context;
    uint32_t values, tensors; /* entries of the bundle */
    import_number number[IMPORT_MAX_VALUES];
    uint32_t numbers;                                 /* the values but lm.layer_kinds */
    uint32_t arch;                                    /* place in the table of architectures */
    uint32_t seen;                                    /* bit i: field i was stated */
    double field[IMPORT_FIELDS];
    unsigned char layer_kinds[IMPORT_MAX_LAYERS];
    unsigned char rope_factors[2 * IMPORT_MAX_HEAD];  /* floats, little-endian */
    uint32_t whole, present[IMPORT_MAX_LAYERS];       /* bit k: the tensor of kind k is there */
    unsigned char scaled[IMPORT_MAX_LAYERS];          /* bit k: matrix k has a factor in a tensor of its own */
    gguf_value pattern;                               /* which layers have a window, if the file has a list */
    json_value layer_types, no_rope;
    const gguf *gguf_parts;                           /* one of these two is NULL */
    const safetensors *shards;
    uint32_t parts;
} import_model;

/* A tensor of the bundle. */
typedef struct import_entry {
    char name[32];       /* "layers.0.wq", ended by a 0 */
    uint32_t rows, cols;
    const char *format;  /* "f32", "f16" or "bf16": the format that holds its elements without loss */
    const void *data;    /* its rows in that format as the file has them, at any alignment; NULL if they
                            must be decoded by import_row */
    size_t size;         /* bytes of data, or of all rows in that format */
    float factor, add;   /* an element is (w + add) * factor, w as in the file */
    gguf_tensor source;  /* from safetensors too: its type is that of GGUF */
} import_entry;

/* Opens a model of GGUF.
   parts: [count] files that gguf_open has opened, in the order of gguf_split; they stay in use. The
   bytes of a part are the whole file.
   It takes time in proportion to the metadata and the number of tensors.
   Errors; m->fault then says which name is refused and why:
     LLMQ_E_ARG          NULL, or count is 0
     LLMQ_E_UNSUPPORTED  an architecture, key, tensor or type of a tensor that is not understood
     LLMQ_E_NOT_FOUND    a key or a tensor is missing
     LLMQ_E_CORRUPT      a key has a wrong type or value, or a tensor a wrong shape; parts are missing;
                         a name occurs in two parts
     LLMQ_E_LIMIT        a number is larger than this code, or lm.h, takes */
LLMQ_NODISCARD llmq_status import_open_gguf(import_model *m, const gguf *parts, uint32_t count);

/* Opens a model of safetensors.
   config: the text of config.json that json_open has checked. shards: [count] files that
   safetensors_open has opened, in any order. All of them stay in use.
   Whether the shards are those of an index is for the caller to check. Here no tensor may be missing,
   and none may be there twice.
   Errors: as above. */
LLMQ_NODISCARD llmq_status import_open_safetensors(import_model *m, const json_value *config, const safetensors *shards,
                                                   uint32_t count);

/* Value i of the bundle. Its data point into *m.
   Errors: LLMQ_E_NOT_FOUND: i is not below m->values. */
LLMQ_NODISCARD llmq_status import_value(const import_model *m, uint32_t i, llmq_entry *e);

/* Tensor i of the bundle: first those of the whole model, then those of layer 0, and so on.
   It looks for a name in the file, so it takes time in proportion to the number of tensors.
   Errors: LLMQ_E_NOT_FOUND: i is not below m->tensors. */
LLMQ_NODISCARD llmq_status import_tensor(const import_model *m, uint32_t i, import_entry *e);

/* Decodes a row.
   out: [e->cols]. Elements may be infinite or NaN if the file has such.
   Errors: LLMQ_E_ARG: NULL, or row is not below e->rows. */
LLMQ_NODISCARD llmq_status import_row(const import_entry *e, uint32_t row, float *out);

#ifdef __cplusplus
}
#endif
#endif /* IMPORT_H */
