#!/bin/sh
# The problem: a softmax of something.
ingot-opt "$1" 2>/dev/null | grep -q tfm.softmax
