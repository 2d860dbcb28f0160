/* model.S - a file as it is, in flash: -DMODEL_FILE='"path"'. For assemblers of gcc and clang, of any processor. */
    .section .model, "a"
    .balign 16
    .global mcu_model
mcu_model:
    .incbin MODEL_FILE
    .global mcu_model_end
mcu_model_end:
    .byte 0 /* so that the end, too, is a byte of this section */

#ifdef __linux__ /* or the host's linker would make the stack executable */
    .section .note.GNU-stack, "", %progbits
#endif
