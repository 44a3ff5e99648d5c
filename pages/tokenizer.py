"""Tokenizer."""

import streamlit as st

st.title("Tokenizer")
