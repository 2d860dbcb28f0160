#!/usr/bin/env bash
# board.sh - programs for microcontrollers, on boards that QEMU emulates.
#
#     board.sh run BOARD [FLAG...] FILE.c [ARGUMENT...]   compile for the board and run; -O2 unless a flag says otherwise
#     board.sh compile BOARD                              the command that compiles: append flags, files and -o PROGRAM
#     board.sh emulate BOARD                              the command that runs: {} stands for the program
#     board.sh boards                                     their names
#
# Boards are named by their processors: m0 m3 m4 m7 m33 m55. Needs arm-none-eabi-gcc with newlib (Debian: gcc-arm-none-eabi
# and libnewlib-arm-none-eabi) and qemu-system-arm. The exit status is the program's; 127 is a fault, 124 ten minutes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# board machine processor rom size ram size
board() {
    case $1 in
    m0) set -- microbit "-mcpu=cortex-m0" 0 256K 0x20000000 16K ;;
    m3) set -- mps2-an385 "-mcpu=cortex-m3" 0 4M 0x20000000 4M ;;
    m4) set -- mps2-an386 "-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16" 0 4M 0x20000000 4M ;;
    m7) set -- mps2-an500 "-mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16" 0 4M 0x20000000 4M ;;
    m33) set -- mps2-an505 "-mcpu=cortex-m33 -mfloat-abi=hard" 0x10000000 4M 0x38000000 4M ;;
    m55) set -- mps3-an547 "-mcpu=cortex-m55 -mfloat-abi=hard" 0 512K 0x21000000 4M ;;
    *) echo "board.sh: no board $1" >&2; exit 2 ;;
    esac
    machine=$1
    compile="arm-none-eabi-gcc $2 -mthumb -O2 -ffunction-sections -fdata-sections --specs=nano.specs -nostartfiles -T $here/board.ld
        -Wl,--gc-sections,--defsym=rom=$3,--defsym=rom_size=$4,--defsym=ram=$5,--defsym=ram_size=$6 $here/startup.c"
}

emulate() { # program [argument...]
    local options="enable=on,target=native" word
    for word in "$@"; do options="$options,arg=$word"; done
    echo "qemu-system-arm -M $machine -display none -monitor none -serial null -semihosting-config $options -kernel $1"
}

case ${1:-} in
boards) echo m0 m3 m4 m7 m33 m55 ;;
compile) board "$2"; echo $compile ;;
emulate) board "$2"; shift 2; emulate "{}" "$@" ;;
run)
    board "$2"
    shift 2
    flags=()
    while [[ ${1:-} == -* ]]; do flags+=("$1"); shift; done
    source=$1 program=$(mktemp)
    trap 'rm -f "$program"' EXIT
    shift
    $compile "${flags[@]}" "$source" -lm -o "$program"
    timeout 600 $(emulate "$program" "$@") < /dev/null
    ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
