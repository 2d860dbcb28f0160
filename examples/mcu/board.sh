#!/usr/bin/env bash
# board.sh - programs for microcontrollers, on boards that QEMU emulates.
#
#     board.sh run BOARD [FLAG...] FILE.c [ARGUMENT...]   compile for the board and run; -O2 unless a flag says otherwise
#     board.sh compile BOARD                              the command that compiles: append flags, files and -o PROGRAM
#     board.sh bare BOARD                                 the same for programs without printf, malloc and arguments (see board.h)
#     board.sh emulate BOARD [ARGUMENT...]                the command that runs: {} stands for the program
#     board.sh boards                                     their names
#     board.sh missing BOARD                              what must be installed for it and is not
#
# Boards are named by their processors. Arm needs arm-none-eabi-gcc with newlib (Debian: gcc-arm-none-eabi, libnewlib-arm-none-eabi)
# and qemu-system-arm; RISC-V gcc-riscv64-unknown-elf, picolibc-riscv64-unknown-elf and qemu-system-misc. The exit status is the
# program's; 127 is a fault, 124 ten minutes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# Name, machine of QEMU, memories (rom, ram and perhaps model: start and size), flags of the processor.
boards='
m0    microbit     rom=0,256K           ram=0x20000000,16K                              -mcpu=cortex-m0
m3    mps2-an385   rom=0,4M             ram=0x20000000,4M                               -mcpu=cortex-m3
m4    mps2-an386   rom=0,4M             ram=0x20000000,4M                               -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
m7    mps2-an500   rom=0,4M             ram=0x20000000,4M                               -mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16
m33   mps2-an505   rom=0x10000000,4M    ram=0x38000000,4M                               -mcpu=cortex-m33 -mfloat-abi=hard
m55   mps3-an547   rom=0,512K           ram=0x21000000,4M    model=0x28000000,8M        -mcpu=cortex-m55 -mfloat-abi=hard
rv32  virt         rom=0x80000000,4M    ram=0x84000000,4M                               -march=rv32imac -mabi=ilp32
'

# board NAME: sets machine and emulator, and the commands bare and full that compile without and with libc.c
board() {
    local line word script=one_flash.ld
    line=$(awk -v name="$1" '$1 == name' <<< "$boards")
    [ -n "$line" ] || { echo "board.sh: no board $1" >&2; exit 2; }
    read -r name machine line <<< "$line"
    memories="" processor=""
    for word in $line; do
        case $word in
        model=*) script=two_flashes.ld ;&
        rom=* | ram=*) memories="$memories,--defsym=${word%,*},--defsym=${word%%=*}_size=${word#*,}" ;;
        *) processor="$processor $word" ;;
        esac
    done
    case $name in
    rv*) compiler=riscv64-unknown-elf-gcc library=picolibc.specs startup=startup_riscv.c emulator="qemu-system-riscv32 -bios none" ;;
    *) compiler=arm-none-eabi-gcc library=nano.specs startup=startup_arm.c emulator=qemu-system-arm processor="$processor -mthumb" ;;
    esac
    bare="$compiler$processor -O2 -ffunction-sections -fdata-sections --specs=$library -nostartfiles -L $here -T $here/$script
        -Wl,--gc-sections$memories -I $here $here/$startup $here/board.c"
    full="$bare $here/libc.c"
    # of picolibc's printfs the one without floats; to ask for one is to have it, so the example does not
    if [ "$library" = picolibc.specs ]; then full="$full -DPICOLIBC_INTEGER_PRINTF_SCANF"; fi
}

emulate() { # program [argument...]
    local options="enable=on,target=native" word
    for word in "$@"; do options="$options,arg=$word"; done
    echo "$emulator -M $machine -display none -monitor none -serial null -semihosting-config $options -kernel $1"
}

# shellcheck disable=SC2046 # words of tables and commands
case ${1:-} in
boards) echo $(awk '{ print $1 }' <<< "$boards") ;;
compile) board "$2"; echo $full ;;
bare) board "$2"; echo $bare ;;
emulate) board "$2"; shift 2; emulate "{}" "$@" ;;
missing)
    board "$2"
    for tool in "$compiler" "${emulator%% *}"; do command -v "$tool" > /dev/null || printf '%s ' "$tool"; done
    [ -z "$(command -v "$compiler")" ] || echo '#include <string.h>' | "$compiler" --specs=$library -E - > /dev/null 2>&1 || printf '%s ' "its C library"
    ;;
run)
    board "$2"
    shift 2
    flags=()
    while [[ ${1:-} == -* ]]; do flags+=("$1"); shift; done
    source=$1 program=$(mktemp)
    trap 'rm -f "$program"' EXIT
    shift
    $full "${flags[@]}" "$source" -lm -o "$program"
    timeout 600 $(emulate "$program" "$@") < /dev/null
    ;;
*) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
