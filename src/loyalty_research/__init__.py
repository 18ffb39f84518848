"""Loyalty Research: does a programme keep patients coming back and do them good?"""
