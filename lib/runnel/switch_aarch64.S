/* The switch of stacks on aarch64 (AAPCS64); see switch_x86_64.S for the contract.
 *
 * One frame of 160 bytes on the stack that is left: x29, x30, x19 to x28, d8 to d15. x29 points at the saved pair, so the
 * frame-pointer chain is whole. FPCR is not saved. x30 is not signed here: caller and callee sign around the call, if at all.
 *
 * The way out is a jump. Compiled for BTI it has to be ret, because the place behind the call is no landing pad.
 */
        .text
        .globl  rn__switch
        .hidden rn__switch
        .type   rn__switch, %function
        .p2align 4
rn__switch:
        .cfi_startproc
        hint    #34                     /* bti c */
        stp     x29, x30, [sp, #-160]!
        .cfi_adjust_cfa_offset 160
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        mov     x29, sp
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset b8, 96
        .cfi_rel_offset b9, 104
        .cfi_rel_offset b10, 112
        .cfi_rel_offset b11, 120
        .cfi_rel_offset b12, 128
        .cfi_rel_offset b13, 136
        .cfi_rel_offset b14, 144
        .cfi_rel_offset b15, 152
        mov     x9, sp
        str     x9, [x0]

        mov     sp, x1
        mov     x0, x2
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x29, x30, [sp], #160
        .cfi_adjust_cfa_offset -160
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore b8
        .cfi_restore b9
        .cfi_restore b10
        .cfi_restore b11
        .cfi_restore b12
        .cfi_restore b13
        .cfi_restore b14
        .cfi_restore b15
#ifdef __ARM_FEATURE_BTI_DEFAULT
        ret
#else
        br      x30
#endif
        .cfi_endproc
        .size   rn__switch, .-rn__switch

/* Where a new stack begins: x19 holds fn, x0 the value. Unwinders stop here: no return address, x29 is 0. */
        .type   switch_entry, %function
        .p2align 4
switch_entry:
        .cfi_startproc
        .cfi_undefined x30
        hint    #36                     /* bti j */
        mov     x29, xzr
        mov     x30, xzr
        blr     x19
        brk     #1
        .cfi_endproc
        .size   switch_entry, .-switch_entry

        .globl  rn__switch_prepare
        .hidden rn__switch_prepare
        .type   rn__switch_prepare, %function
        .p2align 4
rn__switch_prepare:
        .cfi_startproc
        hint    #34
        and     x0, x0, #-16
        stp     xzr, xzr, [x0, #-16]!   /* the end-of-stack marker: an empty frame record */
        sub     x0, x0, #160
        adr     x9, switch_entry
        stp     xzr, x9, [x0]
        stp     x1, xzr, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, xzr, [x0, #80]
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        ret
        .cfi_endproc
        .size   rn__switch_prepare, .-rn__switch_prepare

        .section .note.GNU-stack, "", %progbits
#ifdef __ARM_FEATURE_BTI_DEFAULT
        /* GNU property: BTI (the return address isn't signed here, so no claim about PAC). */
        .pushsection .note.gnu.property, "a"
        .p2align 3
        .word   4
        .word   16
        .word   5
        .asciz  "GNU"
        .word   0xc0000000
        .word   4
        .word   1
        .word   0
        .popsection
#endif
