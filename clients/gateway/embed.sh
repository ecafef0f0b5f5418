#!/bin/bash
# Writes a C source on standard output that holds the given files, for web_files.c:
#
#   clients/gateway/embed.sh FILE...
#
# The assembler takes the bytes in as they are, so that it costs nothing to compile them.
set -euo pipefail

number=0
echo '#include "clients/gateway/web_files_table.h"'
for file in "$@"; do
    cat <<EOF
__asm__(".section .rodata\n"
        ".global web_file_$number, web_file_end_$number\n"
        "web_file_$number:\n.incbin \"$file\"\n"
        "web_file_end_$number:\n.byte 0\n"
        ".previous\n");
extern const uint8_t web_file_${number}[], web_file_end_${number}[];
EOF
    number=$((number + 1))
done
echo 'const struct embedded_file web_files_table[] = {'
number=0
for file in "$@"; do
    echo "    {\"$(basename "$file")\", web_file_$number, web_file_end_$number},"
    number=$((number + 1))
done
echo '    {0, 0, 0},'
echo '};'
