"""Tests of sofdata.view."""
