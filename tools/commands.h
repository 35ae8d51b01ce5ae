/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands: one file each, one row each in main.c. argv[0] is the subcommand's name; the
 * result is the exit status. */
#ifndef ADJ_TOOLS_COMMANDS_H
#define ADJ_TOOLS_COMMANDS_H

typedef int CommandFn(int argc, const char **argv);

CommandFn cmd_ara, cmd_attack, cmd_certify, cmd_compile, cmd_explain, cmd_gradient, cmd_inspect,
    cmd_lipschitz, cmd_new, cmd_pack, cmd_report, cmd_run, cmd_train, cmd_tune, cmd_verify;

#endif
