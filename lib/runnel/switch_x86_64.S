/* The switch of stacks on x86-64 (System V).
 *
 *      void *rn__switch(void **from_sp, void *to_sp, void *value)
 *      void *rn__switch_prepare(void *top, void (*fn)(void *value))
 *
 * Saved on the stack that is left, from high to low: return address, rbp, rbx, r12, r13, r14, r15. rbp is pushed first, so a
 * parked task's frame-pointer chain is whole. The frame has the same shape on both stacks, hence the CFI holds across the
 * exchange of rsp. MXCSR and the x87 control word are not saved (see core.h).
 *
 * The way out is a jump, not ret: the return predictor would name the place that called on the stack we have left. `notrack`
 * because that place is no landing pad.
 */
        .text
        .globl  rn__switch
        .hidden rn__switch
        .type   rn__switch, @function
        .p2align 4
rn__switch:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        movq    %rsp, %rbp
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        movq    %rsp, (%rdi)

        movq    %rsi, %rsp
        movq    %rdx, %rax
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rcx
        notrack jmpq *%rcx
        .cfi_endproc
        .size   rn__switch, .-rn__switch

/* Where a new stack begins: rbx holds fn, rax the value. Unwinders stop here: no return address, rbp is 0. */
        .type   switch_entry, @function
        .p2align 4
switch_entry:
        .cfi_startproc
        .cfi_undefined %rip
        endbr64
        movq    %rax, %rdi
        xorl    %ebp, %ebp
        call    *%rbx
        ud2
        .cfi_endproc
        .size   switch_entry, .-switch_entry

        .globl  rn__switch_prepare
        .hidden rn__switch_prepare
        .type   rn__switch_prepare, @function
        .p2align 4
rn__switch_prepare:
        .cfi_startproc
        endbr64
        andq    $-16, %rdi
        leaq    switch_entry(%rip), %rax
        movq    $0, -8(%rdi)            /* the end-of-stack marker: a return address of 0 */
        movq    $0, -16(%rdi)
        movq    %rax, -24(%rdi)         /* rsp is 16-byte aligned at switch_entry once this is popped */
        movq    $0, -32(%rdi)           /* rbp */
        movq    %rsi, -40(%rdi)         /* rbx */
        movq    $0, -48(%rdi)
        movq    $0, -56(%rdi)
        movq    $0, -64(%rdi)
        movq    $0, -72(%rdi)
        leaq    -72(%rdi), %rax
        ret
        .cfi_endproc
        .size   rn__switch_prepare, .-rn__switch_prepare

        .section .note.GNU-stack, "", @progbits
