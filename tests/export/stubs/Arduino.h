// What a sketch sees of Arduino, as far as ours needs it: written for these tests, not Arduino's own code.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

inline unsigned long micros() { static unsigned long now = 0; return now += 42; }
// A sketch that waits this often has said all that it has to say.
inline void delay(unsigned long) { static int times = 0; if (++times > 2) exit(0); }

struct SerialPort {
  void begin(unsigned long) {}
  explicit operator bool() const { return true; }
  bool operator!() const { return false; }
  void print(const char* text) { fputs(text, stdout); }
  void print(unsigned long number) { printf("%lu", number); }
  void println(const char* text) { puts(text); }
  void println(unsigned long number) { printf("%lu\n", number); }
};
static SerialPort Serial;
