#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# report.sh ADJOINT MAKE_BAD LOOK.html FOLDER: a report page in headless Chromium, 360 and 1280
# pixels wide, light and dark: look.html measures it; nothing is on the console, nothing asked for.
# Screenshots go to FOLDER. Status 77: no Chromium.
set -u
adjoint=$1 make_bad=$2 look=$3 folder=$4
browser=
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && browser=$name && break
done
[ -n "$browser" ] || { echo "browser_report: skipped: no Chromium is installed"; exit 77; }
. "${0%/*}/../check.sh"

"$make_bad" . || exit 1
model="<i onclick=x>'.onnx"
cp good.onnx "$model"
ara() {
    "$adjoint" ara "$1" images.npy --labels labels.npy --steps 20 --guard warn --json "$2.json" \
        -o "$2.csv" >/dev/null 2>&1
}
mkdir out
check "ara" ara "$model" out/first
check "another ara" ara good.onnx out/second
check "attack" "$adjoint" attack "$model" images.npy --labels labels.npy --csv out/pgd.csv \
    --json out/pgd.json
check "explain" "$adjoint" explain "$model" images.npy -o out/sheet.png --json out/sheet.json
check "certify" "$adjoint" certify good.onnx images.npy --n 200 --json out/radii.json
check "lipschitz" "$adjoint" lipschitz good.onnx images.npy --json out/norms.json
check "report" "$adjoint" report out --title '<b>A</b> & "B"' -o report.html
check "no address in the page" sh -c '! grep -qE "https?://|//[a-z]+\." report.html'
check "the same bytes again" sh -c '"$1" report out --title "<b>A</b> & \"B\"" -o again.html &&
    cmp report.html again.html' - "$adjoint"

# browse OPTION... URL; HOME is here, so that nothing of the user's is read or changed
browse() {
    HOME=$dir timeout 120 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars \
        --no-first-run --disable-background-networking --disable-component-update --disable-sync \
        --disable-extensions --host-resolver-rules='MAP * ~NOTFOUND' \
        --user-data-dir="$dir/profile" --allow-file-access-from-files --enable-logging=stderr \
        --virtual-time-budget=20000 "$@" 2>log.txt
}
cp "$look" look.html
for scheme in light dark; do
    prefers=$([ $scheme = dark ] && echo 0 || echo 1)
    for width in 360 1280; do
        browse --blink-settings=preferredColorScheme=$prefers --window-size=1400,1300 --dump-dom \
            "file://$dir/look.html?$width,$scheme" >dom.txt
        check "$width $scheme: looked" grep -q '^done' dom.txt
        sed -n 's/.*\(ok  \|FAIL\) \('$width' .*\)/\1 \2/p' dom.txt >said.txt
        while IFS= read -r line; do
            check "${line#?????}" [ "${line%% *}" = ok ]
        done <said.txt
        check "$width $scheme: nothing on the console" sh -c '! grep CONSOLE log.txt'
        browse --blink-settings=preferredColorScheme=$prefers --window-size=$width,1600 \
            --screenshot="$folder/report-$width-$scheme.png" "file://$dir/report.html" >/dev/null
        check "$width $scheme: screenshot" [ -s "$folder/report-$width-$scheme.png" ]
    done
done
check "light is not dark" sh -c '! cmp -s "$0-light.png" "$0-dark.png"' "$folder/report-360"
report browser_report
