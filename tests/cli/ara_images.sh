# SPDX-License-Identifier: Apache-2.0
# What the tests of adjoint ara attack: 160 images of 28 x 28 whose pixels are all different and
# never change, bytes of net.onnx; a label for each; a list of 150 of them. Also random numbers.
{
    printf '\000\000\010\003\000\000\000\240\000\000\000\034\000\000\000\034'
    tail -c +1001 net.onnx | head -c $((160 * 784))
} >images.idx
awk 'BEGIN { for (i = 0; i < 160; i++) print 8 }' >labels.txt
awk 'BEGIN { for (i = 0; i < 150; i++) print (i * 37 + 5) % 160 }' >order.txt

# number = one of [0, n), from a generator of its own
state=12345
random() {
    state=$(((state * 1103515245 + 12345) % 2147483648))
    number=$((state / 65536 * $1 / 32768))
}
seconds() { # of milliseconds
    printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
}
