/* SPDX-License-Identifier: Apache-2.0 */
/* One graph or more for each row of ops.def that has a derivative. Each contains something
 * besides the op where that makes second derivatives worth checking. */
#include "tests/passes/harness.h"

#define IN(name, type) "%" name " = input {name=\"" name "\"} : f64" type "\n"
#define A23 IN("a", "[2,3]")
#define AB23 A23 IN("b", "[2,3]")
#define SQUARE(x, type) "%y = mul %" x ", %" x " : f64" type "\n"
#define T23 " : f64[2,3]\n"
#define X33 IN("x", "[2,4,5,5]") IN("w", "[6,2,3,3]")
#define STRIDED "strides=[2,1] pads=[1,0,1,2] dilations=[1,2] groups=2"

const Row rows[] = {
    {"neg", A23 "%y = neg %a" T23, .linear = 'j'},
    {"abs", A23 "%c = abs %a" T23 SQUARE("c", "[2,3]")},
    {"exp", A23 "%y = exp %a" T23},
    {"log", A23 "%y = log %a" T23, .lo = 0.5, .hi = 2},
    {"log1p", A23 "%y = log1p %a" T23, .lo = -0.4, .hi = 1},
    {"sqrt", A23 "%y = sqrt %a" T23, .lo = 0.5, .hi = 2},
    {"tanh", A23 "%y = tanh %a" T23},
    {"erf", A23 "%y = erf %a" T23},
    {"cast", A23 "%c = cast %a : f32[2,3]\n%y = cast %c" T23, .h = 0.05, .tol = 1e-5},
    {"add", AB23 "%y = add %a, %b" T23, .linear = 'j'},
    {"add twice", A23 "%y = add %a, %a" T23, .linear = 'j'},
    {"sub", AB23 "%y = sub %a, %b" T23, .linear = 'j'},
    {"mul", AB23 "%y = mul %a, %b" T23, .linear = 'e'},
    {"mul square", A23 "%y = mul %a, %a" T23},
    {"div", AB23 "%y = div %a, %b" T23, .lo = 0.5, .hi = 2},
    {"pow", AB23 "%y = pow %a, %b" T23, .lo = 0.5, .hi = 2},
    {"pow 3", A23 "%c = const splat(3) : f64[2,3]\n%y = pow %a, %c" T23},
    {"pow 2", A23 "%c = const splat(2) : f64[2,3]\n%y = pow %a, %c" T23},
    {"pow 0", A23 "%c = const splat(0) : f64[2,3]\n%y = pow %a, %c" T23},
    {"pow vector", A23 "%c = const [1, 2, 3, -1, 0, 4] : f64[2,3]\n%y = pow %a, %c" T23},
    {"max2", AB23 "%c = max2 %a, %b" T23 SQUARE("c", "[2,3]")},
    {"min2", AB23 "%c = min2 %a, %b" T23 SQUARE("c", "[2,3]")},
    {"select", AB23 "%c = lt %a, %b : bool[2,3]\n%d = mul %a, %b" T23 "%y = select %c, %d, %a" T23},
    {"reshape", A23 "%y = reshape %a : f64[3,1,2]\n", .linear = 'j'},
    {"transpose", IN("a", "[2,3,4]") "%y = transpose %a {perm=[2,0,1]} : f64[4,2,3]\n",
     .linear = 'j'},
    {"broadcast", IN("a", "[2,1,3]") "%y = broadcast %a : f64[2,4,3]\n", .linear = 'j'},
    {"slice", IN("a", "[5,7]") "%y = slice %a {starts=[1,1] sizes=[3,2] steps=[1,3]} : f64[3,2]\n",
     .linear = 'j'},
    {"slice of one",
     IN("a", "[5,7]") "%y = slice %a {starts=[1,6] sizes=[1,1] steps=[9,3]}"
                      " : f64[1,1]\n",
     .linear = 'j'},
    {"pad", A23 "%y = pad %a {low=[1,0] high=[0,2] inner=[2,1] value=0} : f64[5,7]\n",
     .linear = 'j'},
    {"pad value", A23
     "%c = pad %a {low=[1,0] high=[0,2] inner=[0,0] value=2} : f64[3,5]\n" SQUARE("c", "[3,5]")},
    {"reverse", A23 "%y = reverse %a {axes=[1]}" T23, .linear = 'j'},
    {"window",
     IN("a", "[2,7,6]") "%y = window %a {size=[3,2] strides=[2,1] dilations=[1,2]}"
                        " : f64[2,3,4,3,2]\n",
     .linear = 'j'},
    {"fold",
     IN("a", "[2,3,4,3,2]") "%y = fold %a {in=[8,6] strides=[2,1] dilations=[1,2]}"
                            " : f64[2,8,6]\n",
     .linear = 'j'},
    {"concat", AB23 IN("c", "[2,1]") "%y = concat %a, %c, %b {axis=1} : f64[2,7]\n", .linear = 'j'},
    {"concat twice", A23 "%y = concat %a, %a {axis=0} : f64[4,3]\n", .linear = 'j'},
    {"sum", IN("a", "[2,3,4]") "%y = sum %a {axes=[0,2]} : f64[1,3,1]\n", .linear = 'j'},
    {"prod", IN("a", "[2,3,4]") "%y = prod %a {axes=[0,2]} : f64[1,3,1]\n", .lo = 0.5, .hi = 1.5},
    {"prod of one zero",
     IN("a", "[3]") "%z = const [1, 0, 1] : f64[3]\n%c = mul %a, %z : f64[3]\n"
                    "%d = tanh %c : f64[3]\n%y = prod %d {axes=[0]} : f64[1]\n"},
    {"max", IN("a", "[2,3,4]") "%c = max %a {axes=[0,2]} : f64[1,3,1]\n" SQUARE("c", "[1,3,1]")},
    {"min", IN("a", "[2,3,4]") "%c = min %a {axes=[1,2]} : f64[2,1,1]\n" SQUARE("c", "[2,1,1]")},
    {"scan", A23 "%y = scan %a {axis=1 reverse=0 exclusive=0}" T23, .linear = 'j'},
    {"scan exclusive", A23 "%y = scan %a {axis=1 reverse=1 exclusive=1}" T23, .linear = 'j'},
    {"matmul", IN("a", "[2,3,4]") IN("b", "[2,4,2]") "%y = matmul %a, %b : f64[2,3,2]\n",
     .linear = 'e'},
    {"conv", X33 "%y = conv %x, %w {" STRIDED "} : f64[2,6,3,3]\n", .linear = 'e'},
    {"conv_dx",
     IN("d", "[2,6,3,3]") IN("w", "[6,2,3,3]") "%y = conv_dx %d, %w {" STRIDED
                                               " in=[6,5]} : f64[2,4,6,5]\n",
     .linear = 'e'},
    {"conv_dw",
     IN("x", "[2,4,5,5]") IN("d", "[2,6,3,3]") "%y = conv_dw %x, %d {" STRIDED
                                               " kernel=[3,3]} : f64[6,2,3,3]\n",
     .linear = 'e'},
    {"conv 1d",
     IN("x", "[1,2,5]") IN("w", "[3,2,2]") "%y = conv %x, %w {strides=[1] pads=[0,1] dilations=[1] "
                                           "groups=1} : f64[1,3,5]\n",
     .linear = 'e'},
    {"gather",
     IN("a", "[2,4,3]") "%i = const [1, 3, 3, 0] : i64[2,2]\n"
                        "%y = gather %a, %i {axis=1 batch=1} : f64[2,2,3]\n",
     .linear = 'j'},
    {"gather rows",
     IN("a", "[4,3]") "%i = const [1, 3, 3, 9] : i64[2,2]\n"
                      "%y = gather %a, %i {axis=0 batch=0} : f64[2,2,3]\n",
     .linear = 'j'},
    {"scatter_add",
     IN("a", "[2,2,3]") "%i = const [1, 3, 3, 0] : i64[2,2]\n"
                        "%y = scatter_add %a, %i {axis=1 batch=1 size=4} : f64[2,4,3]\n",
     .linear = 'j'},
    {"allreduce", A23 "%y = allreduce %a" T23, .linear = 'j'},
    {"floor, sign and round have none",
     A23 "%c = floor %a" T23 "%d = sign %a" T23 "%e = round %a" T23 "%f = add %c, %d" T23
         "%g = add %f, %e" T23 "%y = mul %g, %a" T23},
};
const int nrows = COUNT(rows);
